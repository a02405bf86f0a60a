"""Messages of other services become commands, or are set aside with the field that is wrong."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from reservations.agents.decoding import Unreadable, decode_payment
from reservations.models.commands import RecordPayment
from tests.bookings import a_payment, encoded, new_reservation_id


@dataclass
class Message:
    """A message of the payments topic."""

    value: bytes | None
    topic: str = "payments"
    partition: int = 0
    offset: int = 0
    timestamp: float = 0.0
    headers: Sequence[tuple[str, bytes]] | None = ()
    key: bytes | None = None


def decoded(**changes: Any) -> tuple[dict[str, Any], RecordPayment | Unreadable]:
    """Return a payment, and what is understood of it."""
    payment = a_payment(new_reservation_id(), 100.0) | changes
    return payment, decode_payment(Message(encoded(payment)))


def test_a_payment_becomes_a_command_with_its_id() -> None:
    payment, command = decoded(timestamp="2027-05-01T14:00:00+02:00")
    assert isinstance(command, RecordPayment)
    assert str(command.command_id) == payment["event_id"]
    assert command.issued_at.isoformat() == "2027-05-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("timestamp", "message"),
    [
        ("2027-05-01T12:00:00", "needs a time zone, as in 2027-05-01T12:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "lies outside the years 1 to 9999 in UTC"),
        ("9999-12-31T23:59:59-14:00", "lies outside the years 1 to 9999 in UTC"),
    ],
)
def test_a_payment_at_no_instant_is_set_aside(timestamp: str, message: str) -> None:
    payment, unreadable = decoded(timestamp=timestamp)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.command_id == UUID(payment["event_id"])
    assert unreadable.reason.message == f"timestamp: {message}"


@pytest.mark.parametrize("field", sorted(a_payment(new_reservation_id(), 1.0)))
@pytest.mark.parametrize("value", [None, "", "nonsense", -1, 10**30, [], {}], ids=json.dumps)
def test_whatever_stands_in_a_field_of_a_payment_nothing_is_raised(field: str, value: Any) -> None:
    _, understood = decoded(**{field: value})
    assert isinstance(understood, RecordPayment | Unreadable)
