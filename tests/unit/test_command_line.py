"""The document of the command line lists every command, with its options, as the program has them."""

import pytest
from typer.testing import CliRunner

from reservations.app.cli import app
from tests.command_line_reference import DOCUMENT, HEADING, commands, reference


def test_the_reference_is_what_the_command_line_tells_of_itself() -> None:
    written = DOCUMENT.read_text("utf-8").partition(HEADING)[2]
    assert written.strip() == reference().strip(), "run `.venv/bin/python -m tests.command_line_reference`"


@pytest.mark.parametrize("name", commands())
def test_each_command_has_help_that_says_what_it_does(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split()[1:], "--help"])
    assert shown.exit_code == 0
    assert commands()[name].help
    assert all(each.help for each in commands()[name].params), name


@pytest.mark.parametrize(
    "name",
    [
        "send",
        "doctor",
        "inbox show",
        "events replay",
        *(f"partitions {each}" for each in ("list", "ensure", "retire", "restore")),
    ],
)
def test_a_command_of_an_operator_teaches_by_an_example_and_speaks_json(name: str) -> None:
    command = commands()[f"reservations {name}"]
    assert command.epilog.startswith(f"Example: reservations {name}")
    assert any("--json" in each.opts for each in command.params)
