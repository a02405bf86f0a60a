"""The reference in docs/command-line.md, as the command line tells it of itself; run this to write it anew."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from reservations.app.cli import app

DOCUMENT = Path(__file__).parent.parent / "docs" / "command-line.md"
HEADING = "## Reference\n"


def reference() -> str:
    """Return every command with its arguments and options."""
    return "\n".join(_of_group(typer.main.get_command(app), "reservations"))


def commands() -> dict[str, Any]:
    """Return every command by its name."""
    return dict(_named(typer.main.get_command(app), "reservations"))


def _named(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for part, each in command.commands.items():
        yield from _named(each, f"{name} {part}")


def _of_group(group: Any, name: str) -> Iterator[str]:
    for full_name, command in _named(group, name):
        yield from _of_command(full_name, command)


def _of_command(name: str, command: Any) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n")) + "\n"
    if command.epilog:
        yield f"```bash\n{command.epilog.removeprefix('Example: ')}\n```\n"
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"


def _row(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    if parameter.param_type_name == "argument":
        names = [(parameter.metavar or parameter.name).upper()]
    shown = ", ".join(f"`{name}`" for name in names)
    default = parameter.default
    told = f" Default: `{default}`." if isinstance(default, str | int | float) and default not in (False, True) else ""
    return f"| {shown} | {(parameter.help or '').replace('|', '&#124;')}{told} |"


if __name__ == "__main__":
    before, heading, _ = DOCUMENT.read_text("utf-8").partition(HEADING)
    DOCUMENT.write_text(f"{before}{heading}\n{reference()}", "utf-8")
