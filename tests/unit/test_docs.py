"""What the documents say about the code is what the code says."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from reservations.app.settings import Settings
from reservations.http.problems import STATUSES
from reservations.models.commands import Command, CreateReservation
from reservations.models.errors import ErrorCode
from reservations.models.topics import TOPICS
from reservations.models.vocabulary import TRANSITIONS, Status

REPOSITORY = Path(__file__).parent.parent.parent
README = REPOSITORY / "README.md"
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"
DECISIONS = REPOSITORY / "docs" / "decisions"
DOCUMENTS = sorted({*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")})
DIAGRAMS = {"flowchart", "sequenceDiagram", "stateDiagram-v2", "erDiagram"}
DAY_MS = 24 * 60 * 60 * 1000


def rows(path: Path, *header: str) -> list[list[str]]:
    """Return the cells of the table with this header."""
    lines = path.read_text("utf-8").splitlines()
    start = lines.index(f"| {' | '.join(header)} |")
    return list(_rows(lines[start + 2 :]))


def _rows(lines: Sequence[str]) -> Iterator[list[str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def diagrams(path: Path) -> list[str]:
    """Return the Mermaid diagrams of a document."""
    return re.findall(r"^```mermaid\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def diagram(kind: str) -> str:
    """Return the one diagram of that kind that the architecture has."""
    (found,) = (text for text in diagrams(ARCHITECTURE) if text.startswith(kind))
    return found


def code(text: object) -> str:
    """Return a text as the tables show code."""
    return f"`{text}`"


def shown(default: object) -> str:
    """Return a setting's default as its table shows it."""
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return code(text) if text else "none"


def anchors(path: Path) -> set[str]:
    """Return what links to the headings of a document end with."""
    prose = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_lists_every_setting_with_its_default_and_meaning() -> None:
    assert rows(README, "variable", "default", "meaning") == [
        [code(name.upper()), shown(field.default), field.description] for name, field in Settings.model_fields.items()
    ]


def test_the_readme_lists_every_error_code_with_its_status_and_a_meaning() -> None:
    listed = rows(README, "error", "HTTP status", "meaning")
    assert [row[:2] for row in listed] == [[code(each), str(STATUSES[each])] for each in ErrorCode]
    assert all(meaning for _, _, meaning in listed)


def test_the_readme_lists_every_topic_with_its_retention() -> None:
    listed = [(name, int(kept.split()[0])) for name, _, kept, _ in rows(README, "topic", "direction", "kept", "what")]
    assert listed == [(code(topic.name), topic.retention_ms / DAY_MS) for topic in TOPICS]


def test_the_readme_lists_every_field_of_a_command() -> None:
    listed = [name for name, _ in rows(README, "field", "meaning")]
    assert set(listed) == {code(name) for name in CreateReservation.model_fields}


def test_the_readme_lists_every_type_of_command() -> None:
    types = [each.model_fields["type"].default for each in get_args(Command)]
    assert [name for name, _ in rows(README, "type", "payload")] == [code(each) for each in types]


def test_the_state_diagram_shows_every_transition_and_no_other() -> None:
    drawn = re.findall(r"^ *(\S+) --> (\S+)$", diagram("stateDiagram-v2"), re.MULTILINE)
    inner = [(Status(old), Status(new)) for old, new in drawn if "[*]" not in (old, new)]
    assert sorted(inner) == sorted((old, new) for old, targets in TRANSITIONS.items() for new in targets)
    assert {old for old, new in drawn if new == "[*]"} == {old for old, targets in TRANSITIONS.items() if not targets}


def test_the_schema_diagram_shows_every_table_with_its_columns() -> None:
    files = sorted((REPOSITORY / "reservations" / "migrations").glob("*.sql"))
    statements = "\n".join(path.read_text("utf-8") for path in files)
    created = re.findall(r"^CREATE TABLE reservations\.(\w+) \((.*?)^\)", statements, re.MULTILINE | re.DOTALL)
    added = re.findall(r"^ALTER TABLE reservations\.(\w+)[^;]*?ADD COLUMN (\w+)", statements, re.MULTILINE)
    kept = {table: re.findall(r"^  ([a-z_]+) ", body, re.MULTILINE) for table, body in created}
    for table, column in added:
        kept[table].append(column)
    drawn = re.findall(r"^ +(\w+) \{\n(.*?)^ +\}", diagram("erDiagram"), re.MULTILINE | re.DOTALL)
    assert {table: re.findall(r"^ +\S+ (\w+)", body, re.MULTILINE) for table, body in drawn} == kept


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:)([^)#]*)(?:#([^)]*))?\)", path.read_text("utf-8"))
    for target, anchor in links:
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_diagrams_are_of_a_kind_that_is_known(path: Path) -> None:
    fences = path.read_text("utf-8").count("```mermaid")
    kinds = [text.split(maxsplit=1)[0] for text in diagrams(path)]
    assert len(kinds) == fences
    assert set(kinds) <= DIAGRAMS


def test_decisions_are_numbered_without_gaps_and_have_all_their_parts() -> None:
    records = sorted(DECISIONS.glob("*.md"))
    numbers = [int(path.name[:4]) for path in records]
    assert numbers[0] == 1
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    for path in records:
        text = path.read_text("utf-8")
        parts = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "What was measured", "When to look again"], path.name
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = {README.resolve()}, [README]
    while waiting:
        path = waiting.pop()
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text("utf-8")):
            for found in linked(path.parent / target):
                if found not in reached:
                    reached.add(found)
                    waiting.append(found)
    assert set(DOCUMENTS) <= reached


def linked(target: Path) -> list[Path]:
    """Return the documents that a link leads to: one, or all of a folder."""
    return sorted(target.resolve().glob("*.md")) if target.is_dir() else [target.resolve()] * (target.suffix == ".md")
