"""The page of sequences shows every operation, every type of command, and only topics that there are."""

import re
from typing import get_args

import pytest

from reservations.models.commands import AnyCommand
from reservations.models.topics import TOPICS
from tests.unit.test_api_document import OPERATIONS
from tests.unit.test_docs import DOCS, diagrams

SEQUENCES = DOCS / "sequences.md"
TYPES = [each.model_fields["type"].default for each in get_args(AnyCommand)]


def sections() -> list[str]:
    """Return the sections of the page, each with its heading."""
    return re.split(r"^## ", SEQUENCES.read_text("utf-8"), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("operation_id", [each.operation_id for each in OPERATIONS])
def test_every_operation_is_named_in_a_heading(operation_id: str) -> None:
    headings = [section.splitlines()[0] for section in sections()]
    assert any(f"`{operation_id}`" in heading for heading in headings)


@pytest.mark.parametrize("type_", TYPES)
def test_every_type_of_command_is_named_beside_a_diagram(type_: str) -> None:
    assert any(f"`{type_}`" in section for section in sections())


def test_every_section_has_one_sequence_diagram() -> None:
    assert [section.count("```mermaid\nsequenceDiagram\n") for section in sections()] == [1] * len(sections())


def test_every_topic_is_named_by_a_word_of_it() -> None:
    drawn = " ".join(re.findall(r"participant \w+ as (.*)$", SEQUENCES.read_text("utf-8"), re.MULTILINE))
    assert [topic.lane for topic in TOPICS if topic.lane not in drawn and topic.lane != "processed"] == []


@pytest.mark.parametrize("number", range(len(diagrams(SEQUENCES))))
def test_only_those_who_take_part_speak(number: int) -> None:
    text = diagrams(SEQUENCES)[number]
    taking_part = set(re.findall(r"^ *(?:participant|actor) (\w+)", text, re.MULTILINE))
    speaking = set(sum(re.findall(r"^ *(\w+)-(?:->>|>>|-x)(\w+):", text, re.MULTILINE), ()))
    assert speaking == taking_part
