"""The command line for events: `reservations events …`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import orjson
import typer

from reservations.app.dead_letters import instant_of
from reservations.app.terminal import Progress, fail, owner_settings, owners_alone, settings_with

EXAMPLE = "Example: reservations events replay --since 2027-05-01T12:00:00Z --until 2027-05-01T13:00:00Z --dry-run"

app = typer.Typer(no_args_is_help=True, help="What other systems were told.")


@app.callback()
def events() -> None:
    """Tell other systems again."""


def _instant(text: str) -> datetime:
    try:
        return instant_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Since = Annotated[datetime, typer.Option(parser=_instant, metavar="TIME", help="Of changes then or later (ISO 8601).")]
Until = Annotated[
    datetime | None, typer.Option(parser=_instant, metavar="TIME", help="Of changes before that; by default till now.")
]


@app.command(epilog=EXAMPLE)
def replay(
    *,
    since: Since,
    until: Until = None,
    reservation_id: Annotated[UUID | None, typer.Option(help="Only the events of this reservation.")] = None,
    per_second: Annotated[int, typer.Option(min=1, help="How many at most.")] = 500,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be published.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="By default on a terminal only.")
    ] = None,
) -> None:
    """Publish events again, under the same event_ids; a reservation's in the order of its changes.

    An event is as it was published where the inbox has it still. An older one is put together from the history: its
    trip date and number of seats are those of the reservation now. The header replayed-at marks both.

    Exit status: 0 all are published, 1 not all, 2 a wrong command line.
    """
    import asyncpg
    from aiokafka.errors import KafkaError

    from reservations.app.logins import LoginRefusedError
    from reservations.app.replaying import replay as replaying
    from reservations.app.topics import TopicsError
    from reservations.tables.status_history import Span

    settings = owner_settings("events replay")
    if not dry_run:
        settings_with("KAFKA_BOOTSTRAP_SERVERS")
    span = Span(since, until or datetime.now(UTC) + timedelta(minutes=1), reservation_id)
    work = replaying(settings, span, per_second=per_second, dry_run=dry_run, progress=Progress(progress).tell)
    try:
        with owners_alone():
            done = asyncio.run(work)
    except (asyncpg.PostgresError, TopicsError, LoginRefusedError, KafkaError, OSError, TimeoutError) as error:
        fail(f"Not all was published ({type(error).__name__}: {error}); it may be repeated.")
    if as_json:
        typer.echo(orjson.dumps({**done.by_type, "rebuilt": done.rebuilt}))
        return
    types = ", ".join(f"{count} {kind}" for kind, count in done.by_type.items()) or "no events"
    typer.echo(f"{'Would publish' if dry_run else 'Published'} {types}; {done.rebuilt} put together from history.")
