"""The command line for dead letters: `reservations dead-letters …`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import orjson
import typer

from reservations.app.dead_letters import Position, Selection, instant_of, line_of, page_of, position_of, row_of
from reservations.app.settings import Settings
from reservations.app.terminal import fail, settings_with

if TYPE_CHECKING:
    from reservations.app.redriving import Attempt

PLACE = "Where it lies: `partition:offset`, as listed."

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Messages that could not be handled.")


def _parsing(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser whose complaint is shown as it stands."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parsed


Place = Annotated[Position, typer.Argument(parser=_parsing(position_of), metavar="POSITION", help=PLACE)]
Places = Annotated[list[Position] | None, typer.Argument(parser=_parsing(position_of), metavar="POSITION", help=PLACE)]
Code = Annotated[str | None, typer.Option(help="Only those with this error code.")]
Topic = Annotated[str | None, typer.Option(help="Only those that came from this topic.")]
Key = Annotated[str | None, typer.Option(help="Only those under this key: a reservation's id.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=_parsing(instant_of), metavar="TIME", help="Only those set aside then or later (ISO 8601)."),
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=_parsing(instant_of), metavar="TIME", help="Only those set aside before that (ISO 8601)."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many.")]


@app.command("list")
def list_letters(
    *,
    code: Code = None,
    topic: Topic = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object on each line.")] = False,
) -> None:
    """Print a line for each dead letter: where it lies, when, why and whence it came. What it says is not shown."""
    settings = settings_with("KAFKA_BOOTSTRAP_SERVERS")
    selection = _selection(settings, code=code, topic=topic, key=key, since=since, until=until)
    _run(_list(settings, selection, limit, as_json))


@app.command()
def show(position: Place) -> None:
    """Print everything about one dead letter. What it says may be personal; exit 1 if there is none."""
    settings = settings_with("KAFKA_BOOTSTRAP_SERVERS")
    if not _run(_show(settings, position)):
        fail(f"There is no dead letter at {position}.")


@app.command()
def redrive(
    positions: Places = None,
    *,
    code: Code = None,
    topic: Topic = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    everything: Annotated[bool, typer.Option("--all", help="Needed to redrive all there are.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be redriven.")] = False,
) -> None:
    """Put messages back on the topics they came from, to be handled anew; exit 1 if one that was meant was not."""
    settings = settings_with("KAFKA_BOOTSTRAP_SERVERS")
    selection = _selection(settings, positions, code=code, topic=topic, key=key, since=since, until=until)
    if selection.is_everything() and not everything:
        raise typer.BadParameter("Name positions or a filter, or say --all.")
    sys.exit(_run(_redrive(settings, selection, limit, dry_run)))


def _selection(
    settings: Settings,
    positions: list[Position] | None = None,
    *,
    code: str | None,
    topic: str | None,
    key: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Selection:
    topics = frozenset((topic, settings.kafka_topic_prefix + topic) if topic else ())
    return Selection(positions=frozenset(positions or ()), code=code, topics=topics, key=key, since=since, until=until)


async def _list(settings: Settings, selection: Selection, limit: int | None, as_json: bool) -> None:
    from reservations.app.redriving import read

    async for letter in read(settings, selection, limit):
        typer.echo(orjson.dumps(row_of(letter)) if as_json else line_of(letter))


async def _show(settings: Settings, position: Position) -> bool:
    from reservations.app.redriving import read

    found = [letter async for letter in read(settings, Selection(positions=frozenset([position])))]
    for letter in found:
        typer.echo(page_of(letter))
    return bool(found)


async def _redrive(settings: Settings, selection: Selection, limit: int | None, dry_run: bool) -> int:
    """Redrive and say so; return the exit status."""
    from reservations.app.redriving import redrive as redriving

    missing, done, refused = set(selection.positions), 0, 0
    async for attempt in redriving(settings, selection, limit, dry_run=dry_run):
        _tell(attempt, dry_run)
        missing.discard(attempt.letter.position)
        refused += attempt.refusal is not None
        done += attempt.refusal is None
    for position in sorted(missing):
        typer.echo(f"{position}: there is no such dead letter", err=True)
    typer.echo(f"{done} {'would be ' if dry_run else ''}redriven, {refused + len(missing)} not.")
    return 1 if refused or missing else 0


def _tell(attempt: "Attempt", dry_run: bool) -> None:
    letter = attempt.letter
    if attempt.refusal:
        typer.echo(f"{letter.position}: not redriven: {attempt.refusal}", err=True)
    else:
        typer.echo(f"{letter.position}: {'would go' if dry_run else 'went'} to {letter.told('topic')}")


def _run(work: Coroutine[Any, Any, T]) -> T:
    from aiokafka.errors import KafkaError

    from reservations.app.logins import LoginRefusedError
    from reservations.app.topics import TopicsError

    try:
        return asyncio.run(work)
    except (TopicsError, LoginRefusedError, KafkaError, TimeoutError) as error:
        # Other errors of the system stay: whoever reads the list may stop reading.
        fail(f"Not all was done: {error}")
