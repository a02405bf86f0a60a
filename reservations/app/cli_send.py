"""The command line for commands: `reservations send`."""

import asyncio
import getpass
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import orjson
import typer

from reservations.app.envelopes import Envelope, EnvelopeError, commands_of, envelopes_in
from reservations.app.settings import Settings
from reservations.app.terminal import Progress, UsageIsOne, fail, settings_with
from reservations.models.commands import Command
from reservations.models.topics import BULK_COMMANDS, COMMANDS

if TYPE_CHECKING:
    from reservations.app.sending import Answer

T = TypeVar("T")

EPILOG = (
    "Example: reservations send --type reservation.cancel --reservation-id 01985a2c-7c00-7000-8000-0000000000aa "
    '--payload \'{"reason": "WEATHER"}\''
)

#: How the command is made known.
OPTIONS: Mapping[str, Any] = {"cls": UsageIsOne, "epilog": EPILOG}

File = Annotated[
    Path | None, typer.Argument(help="JSON: an envelope, an array of them, or one on each line; - is standard input.")
]
Type = Annotated[str | None, typer.Option("--type", help="Type of the command, as in reservation.cancel.")]
Id = Annotated[UUID | None, typer.Option(help="The reservation that it is about.")]
Payload = Annotated[str | None, typer.Option(help="What is asked for, as a JSON object.")]
CommandId = Annotated[UUID | None, typer.Option(help="The same id takes effect once; by default a new one.")]
Rev = Annotated[int | None, typer.Option(min=1, help="Refuse it unless the reservation is at this revision.")]
By = Annotated[str | None, typer.Option(help="Who asks, where the envelope names nobody; by default who is logged in.")]
Bulk = Annotated[bool, typer.Option("--bulk", help="By the lane for imports, which delays nobody.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Don't wait for the results: exit 0 when the broker has it.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="How long to wait for the results after the last was sent.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print each result as a JSON object on a line.")]
ShowProgress = Annotated[bool | None, typer.Option("--progress/--no-progress", help="By default on a terminal only.")]


def send(
    file: File = None,
    *,
    kind: Type = None,
    reservation_id: Id = None,
    payload: Payload = None,
    command_id: CommandId = None,
    expected_rev: Rev = None,
    issued_by: By = None,
    bulk: Bulk = False,
    no_wait: NoWait = False,
    timeout_s: Timeout = 30,
    as_json: AsJson = False,
    progress: ShowProgress = None,
) -> None:
    """Send commands from options, a file or standard input, and say what they came to.

    All are checked before the first is sent. What an envelope leaves out of command_id, issued_at and issued_by is
    filled in; only with command_ids of its own a file may be sent again without taking effect twice.

    Exit status: 0 applied, 1 not sent or a wrong command line, 2 rejected, 3 dead-lettered, 4 no result in time. Of
    several commands, 1 if any was not sent, else the highest of theirs.
    """
    flags = {
        "type": kind,
        "reservation_id": reservation_id and str(reservation_id),
        "payload": payload and _parsed(payload),
        "command_id": command_id and str(command_id),
        "expected_rev": expected_rev,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    commands = _commands(file, given, issued_by or getpass.getuser())
    settings = settings_with("KAFKA_BOOTSTRAP_SERVERS")
    limit_s = 0.0 if no_wait else timeout_s
    answers = _run(_send(settings, commands, bulk=bulk, limit_s=limit_s, progress=Progress(progress)))
    for answer in answers:
        _tell(answer, as_json=as_json, waited=not no_wait)
    sys.exit(_status(answers, waited=not no_wait))


def _parsed(payload: str) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        fail(f"--payload: is no JSON ({error})")


def _commands(file: Path | None, given: Envelope, issued_by: str) -> list[Command]:
    if (file is None) == (not given):
        fail("Give a file (or - for standard input), or --type and what belongs to it; not both.")
    try:
        return commands_of(envelopes_in(_text(file)) if file else [given], issued_by)
    except EnvelopeError as error:
        fail(f"Nothing was sent:\n{error}")


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}")


async def _send(
    settings: Settings, commands: Sequence[Command], *, bulk: bool, limit_s: float, progress: Progress
) -> list["Answer"]:
    from reservations.app.sending import sending

    async with sending(settings, BULK_COMMANDS if bulk else COMMANDS) as sender:
        return await sender.ask_all(commands, limit_s, progress.tell)


def _tell(answer: "Answer", *, as_json: bool, waited: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(_row(answer)))
    else:
        typer.echo(_line(answer, waited=waited), err=answer.trouble is not None)


def _row(answer: "Answer") -> Mapping[str, Any]:
    told = {"command_id": str(answer.command.command_id), "type": answer.command.type}
    return answer.result or {**told, "outcome": None, "not_sent": answer.trouble}


def _line(answer: "Answer", *, waited: bool) -> str:
    name, result = f"{answer.command.type} {answer.command.command_id}", answer.result
    if answer.trouble:
        return f"{name}: not sent: {answer.trouble}"
    if result is None:
        again = f"`reservations inbox show {answer.command.command_id}` tells what becomes of it"
        return f"{name}: {'no result in time' if waited else 'sent'}; {again}"
    words = f"{name}: {result['outcome'].replace('_', '-')}{' before' if result['replayed'] else ''}"
    if result["error"]:
        return f"{words}: {result['error']['code']}: {result['error']['message']}"
    reservation = result["reservation"]
    return (
        f"{words}: reservation {result['reservation_id']} is {reservation['status']} at revision {reservation['_rev']}"
    )


def _status(answers: Sequence["Answer"], *, waited: bool) -> int:
    from reservations.app.sending import Ending

    endings = [each.ending for each in answers if waited or each.ending is not Ending.NO_RESULT]
    return Ending.NOT_SENT if Ending.NOT_SENT in endings else max(endings, default=0)


def _run(work: Coroutine[Any, Any, T]) -> T:
    from aiokafka.errors import KafkaError

    from reservations.app.logins import LoginRefusedError
    from reservations.app.topics import TopicsError

    try:
        return asyncio.run(work)
    except (TopicsError, LoginRefusedError, KafkaError, TimeoutError, OSError) as error:
        fail(f"Nothing was sent: {error or 'the broker does not answer'}")
