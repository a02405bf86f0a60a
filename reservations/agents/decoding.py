"""Bytes to commands: what can't be understood becomes a dead letter."""

from dataclasses import dataclass
from uuid import UUID

import orjson
from pydantic import ValidationError

from reservations.agents.intake import Delivery
from reservations.models.commands import COMMANDS, Command
from reservations.models.errors import ErrorCode, Rejected, unreadable

MAX_COMMAND_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a delivery is not a command, and the command id if that could be read."""

    reason: Rejected
    command_id: UUID | None = None


def decode(delivery: Delivery) -> Command | Unreadable:
    """Return the command in a message, or why there is none."""
    value = delivery.value
    if value is None:
        return _unreadable("is empty: a command can't be a tombstone")
    if len(value) > MAX_COMMAND_BYTES:
        return _unreadable(f"has {len(value)} bytes; a command may have {MAX_COMMAND_BYTES}")
    try:
        return COMMANDS.validate_json(value)
    except ValidationError as error:
        # The first part of a field's place is the type of the command.
        return Unreadable(unreadable(error, below=1), _command_id(value))


def _unreadable(why: str) -> Unreadable:
    return Unreadable(Rejected(ErrorCode.VALIDATION_FAILED, f"The message {why}."))


def _command_id(value: bytes) -> UUID | None:
    try:
        return UUID(orjson.loads(value)["command_id"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
