"""Bytes to commands: what can't be understood becomes a dead letter."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import orjson
from pydantic import ValidationError

from reservations.agents.intake import Delivery
from reservations.agents.publications import REDRIVEN_AT, headers_of
from reservations.models.commands import COMMANDS, Command, RecordPayment
from reservations.models.errors import ErrorCode, Rejected, unreadable
from reservations.models.payments import PaymentProcessed

MAX_COMMAND_BYTES = 256 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a delivery is not a command, and the command id if that could be read."""

    reason: Rejected
    command_id: UUID | None = None


def decode_command(delivery: Delivery) -> Command | Unreadable:
    """Return the command in a message, or why there is none."""
    # The first part of a field's place is the type of the command.
    return _decode(delivery, COMMANDS.validate_json, id_field="command_id", below=1)


def decode_payment(delivery: Delivery) -> RecordPayment | Unreadable:
    """Return the command that an event of svc-payments amounts to, or why there is none."""

    def read(value: bytes) -> RecordPayment:
        return PaymentProcessed.model_validate_json(value).command(_redriven_at(delivery))

    return _decode(delivery, read, id_field="event_id", below=0)


def _redriven_at(delivery: Delivery) -> datetime | None:
    """Return when a person put a message back on its topic, if it says so and can be understood."""
    told = dict(headers_of(delivery)).get(REDRIVEN_AT) or b""
    try:
        at = datetime.fromisoformat(told.decode())
    except ValueError:
        return None
    return at if at.tzinfo else None


def _decode(delivery: Delivery, read: Callable[[bytes], T], *, id_field: str, below: int) -> T | Unreadable:
    value = delivery.value
    if value is None:
        return _unreadable("is empty: a tombstone asks for nothing")
    if len(value) > MAX_COMMAND_BYTES:
        return _unreadable(f"has {len(value)} bytes; {MAX_COMMAND_BYTES} are the limit")
    try:
        return read(value)
    except ValidationError as error:
        return Unreadable(unreadable(error, below=below), _id(value, id_field))
    except Exception as error:
        # Whatever a message can make go wrong, those behind it go on.
        return _unreadable(f"can't be read ({type(error).__name__})")


def _unreadable(why: str) -> Unreadable:
    return Unreadable(Rejected(ErrorCode.VALIDATION_FAILED, f"The message {why}."))


def _id(value: bytes, field: str) -> UUID | None:
    try:
        return UUID(orjson.loads(value)[field])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
