"""The command line for what became of messages: `reservations inbox …`."""

import asyncio
from typing import Annotated
from uuid import UUID

import orjson
import typer

from reservations.app.terminal import fail, owner_settings, owners_alone

EXAMPLE = "Example: reservations inbox show 0b8f4a52-6f0e-4c0e-9d5e-2f6f0c1b7a11"

app = typer.Typer(no_args_is_help=True, help="What became of commands and payments.")


@app.callback()
def inbox() -> None:
    """Tell what became of commands and payments."""


@app.command(epilog=EXAMPLE)
def show(
    command_id: Annotated[UUID, typer.Argument(help="The id of a command, or the event_id of a payment.")],
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show special requirements and emergency contacts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Print what became of a message: its kind, outcome, when, by whom, the events, and the payment if one waits.

    Exit status: 0 it is there, 1 it is not or the database is away, 2 a wrong command line.
    """
    import asyncpg

    from reservations.app import inbox_entries

    settings = owner_settings("inbox show")
    try:
        with owners_alone():
            kept = asyncio.run(inbox_entries.find(settings, command_id))
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        fail(f"The inbox can't be read ({type(error).__name__}); `reservations doctor` tells why.")
    if kept is None:
        fail(
            f"The inbox has no {command_id}: it was not sent, waits on its topic, went to the dead letters, or was "
            "answered longer ago than INBOX_RETENTION_DAYS."
        )
    entry = inbox_entries.told(kept, reveal=reveal)
    if as_json:
        typer.echo(orjson.dumps(entry))
    else:
        for line in inbox_entries.lines(entry):
            typer.echo(line)
