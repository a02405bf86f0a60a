"""What the documents say about the code is what the code says."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from reservations.app.stack.neighbours import markdown
from reservations.http.problems import STATUSES
from reservations.models.commands import Command, CreateReservation
from reservations.models.eligibility import Requirement
from reservations.models.errors import ErrorCode
from reservations.models.events import ReservationCreated, StatusChanged
from reservations.models.payments import PaymentProcessed
from reservations.models.results import CommandResult
from reservations.models.topics import TOPICS
from reservations.models.vocabulary import TRANSITIONS, BookingSource, CancellationReason, Role, Status
from tests import settings_table
from tests.unit.test_api_document import OPERATIONS

REPOSITORY = Path(__file__).parent.parent.parent
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
INDEX = DOCS / "README.md"
ARCHITECTURE = DOCS / "architecture.md"
ERRORS = DOCS / "errors.md"
MESSAGES = DOCS / "messages.md"
SETTINGS = DOCS / "settings.md"
DECISIONS = DOCS / "decisions"
DOCUMENTS = sorted({*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")})
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


def anchors(path: Path) -> set[str]:
    """Return what links to the headings of a document end with."""
    prose = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_is_listed_with_its_default_and_meaning() -> None:
    assert SETTINGS.read_text("utf-8").endswith(f"\n\n{settings_table.table()}"), "run `python -m tests.settings_table`"


def test_every_error_code_is_listed_with_its_status_a_meaning_and_what_to_do() -> None:
    listed = rows(ERRORS, "error", "HTTP status", "meaning", "what to do")
    assert [row[:2] for row in listed] == [[code(each), str(STATUSES[each])] for each in ErrorCode]
    assert all(meaning and cure for _, _, meaning, cure in listed)


def test_every_topic_is_listed_with_its_retention() -> None:
    listed = [(name, int(kept.split()[0])) for name, _, kept, _ in rows(MESSAGES, "topic", "direction", "kept", "what")]
    assert listed == [(code(topic.name), topic.retention_ms / DAY_MS) for topic in TOPICS]


def test_every_field_of_a_command_is_listed() -> None:
    listed = [name for name, _ in rows(MESSAGES, "field", "meaning")]
    assert set(listed) == {code(name) for name in CreateReservation.model_fields}


def test_every_type_of_command_is_listed() -> None:
    types = [each.model_fields["type"].default for each in get_args(Command)]
    assert [name for name, _ in rows(MESSAGES, "type", "payload")] == [code(each) for each in types]


def test_every_field_of_a_result_is_listed() -> None:
    assert [name for name, _ in rows(MESSAGES, "result field", "meaning")] == list(
        map(code, CommandResult.model_fields)
    )


def test_every_field_of_a_payment_is_listed() -> None:
    listed = [name for name, _ in rows(MESSAGES, "payment field", "meaning")]
    assert set(listed) == set(map(code, PaymentProcessed.model_fields))


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("status", Status),
        ("`booking_source`", BookingSource),
        ("cancellation reason", CancellationReason),
        ("`role`", Role),
    ],
)
def test_every_word_of_a_vocabulary_is_listed(where: str, words: type[StrEnum]) -> None:
    assert dict(rows(MESSAGES, "where", "words"))[where] == ", ".join(words)


def test_every_requirement_of_a_booking_is_listed() -> None:
    listed = [name for name, _ in rows(DOCS / "booking-rules.md", "requirement", "fails when")]
    assert listed == list(map(code, Requirement))


@pytest.mark.parametrize(("column", "event"), [(1, ReservationCreated), (2, StatusChanged)])
def test_every_field_of_an_event_is_listed(column: int, event: type[BaseModel]) -> None:
    header = "event field", "`reservation.created`", "`reservation.status_changed`"
    listed = {row[0] for row in rows(MESSAGES, *header) if row[column].startswith("yes")}
    assert listed == {code(field.alias or name) for name, field in event.model_fields.items()}


def test_every_operation_is_listed_with_what_it_answers_when_all_is_well() -> None:
    expected = [
        [
            code(each.operation_id),
            code(f"{each.method} {each.path}"),
            ", ".join(str(status) for status in sorted(each.answers) if status < 400),
        ]
        for each in OPERATIONS
    ]
    assert sorted(rows(DOCS / "rest.md", "operation", "request", "success")) == sorted(expected)


def test_the_special_ids_of_the_simulated_neighbours_are_listed() -> None:
    assert markdown() in (DOCS / "simulated-neighbours.md").read_text("utf-8")


def test_every_make_target_is_told() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    page = (DOCS / "developing.md").read_text("utf-8")
    assert [target for target in targets if f"`make {target}`" not in page and target != "help"] == []


def test_the_index_names_every_document_once() -> None:
    named = re.findall(r"^- \[[^]]+\]\(([^)#]+\.md)\)", INDEX.read_text("utf-8"), re.MULTILINE)
    assert len(named) == len(set(named))
    expected = {*DOCS.glob("*.md"), *REPOSITORY.glob("*.md"), *DECISIONS.glob("*.md")} - {INDEX}
    assert {(DOCS / each).resolve() for each in named} == expected


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_message_of_a_sequence_diagram_is_cut_short(path: Path) -> None:
    sequences = [text for text in diagrams(path) if text.startswith("sequenceDiagram")]
    # These begin a new statement, or a character that is named; `end` alone closes a block.
    assert not [line for text in sequences for line in text.splitlines() if re.search(r"[;#]|: .*\bend\b", line)]


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
