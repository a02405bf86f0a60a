"""Commands that an operator gives as text: one or several envelopes, checked before any is sent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from pydantic import ValidationError

from reservations.agents.decoding import MAX_COMMAND_BYTES
from reservations.models.commands import COMMANDS, Command, wire
from reservations.models.errors import unreadable

Envelope = Mapping[str, Any]


class EnvelopeError(Exception):
    """What was given can't be sent; each problem names the envelope, the field and the cure."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))


def envelopes_in(text: str) -> list[Envelope]:
    """Return the envelopes of a text: a JSON object, a JSON array of objects, or an object on each line.

    Raises:
        EnvelopeError: it holds something else.

    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        found = _of_lines(text, error)
    envelopes = found if isinstance(found, list) else [found]
    if not envelopes or not all(isinstance(each, dict) for each in envelopes):
        raise EnvelopeError(["body: must be a JSON object, an array of objects, or an object on each line"])
    return envelopes


def _of_lines(text: str, error: orjson.JSONDecodeError) -> list[Any]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(lines) < 2:
        raise EnvelopeError([f"body: is no JSON ({error})"]) from None
    found = []
    for number, line in lines:
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError as wrong:
            raise EnvelopeError([f"line {number}: is no JSON ({wrong})"]) from None
    return found


def commands_of(envelopes: Sequence[Envelope], issued_by: str) -> list[Command]:
    """Return the commands in envelopes; what they leave out of command_id, issued_at and issued_by is filled in.

    Raises:
        EnvelopeError: one is no command, or two have one id. All problems are told.

    """
    commands: list[Command] = []
    problems: list[str] = []
    for number, envelope in enumerate(envelopes, start=1):
        try:
            commands.append(_command(envelope, issued_by))
        except EnvelopeError as error:
            place = f"command {number}: " if len(envelopes) > 1 else ""
            problems.append(f"{place}{error}")
    counts = Counter(each.command_id for each in commands)
    problems += [f"command_id: {key} is there {count} times" for key, count in counts.items() if count > 1]
    if problems:
        raise EnvelopeError(problems)
    return commands


def _command(envelope: Envelope, issued_by: str) -> Command:
    filled = {
        "command_id": str(uuid4()),
        "issued_at": datetime.now(UTC).isoformat(),
        "issued_by": issued_by,
        **envelope,
    }
    try:
        # The first part of a field's place is the type of the command.
        command = COMMANDS.validate_json(orjson.dumps(filled))
    except ValidationError as error:
        raise EnvelopeError([unreadable(error, below=1).message]) from None
    if (size := len(wire(command))) > MAX_COMMAND_BYTES:
        raise EnvelopeError([f"payload: makes {size} bytes; {MAX_COMMAND_BYTES} are the limit"])
    return command
