"""The steps that decisions are made of: what they know, what they return, how a reservation moves on."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from reservations.models.books import Books
from reservations.models.commands import Envelope
from reservations.models.eligibility import Surroundings
from reservations.models.errors import Rejected
from reservations.models.identifiers import Entropy, kin_of
from reservations.models.reservation import Participant, Reservation, StatusChange, Told
from reservations.models.vocabulary import Status


@dataclass(frozen=True, slots=True)
class Rules:
    """What the house decides: the share of the total that confirms a booking, how far ahead one may book."""

    deposit_ratio: Decimal = Decimal("0.25")
    booking_window_days: int = 730


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision needs to know besides the reservation; the months are those that can be booked in."""

    now: datetime
    first_month: datetime
    end_of_months: datetime
    books: Books = field(default_factory=Books)
    surroundings: Surroundings = field(default_factory=Surroundings)
    rules: Rules = field(default_factory=Rules)
    entropy: Entropy = secrets.token_bytes
    lane: str = ""
    """By which topic the commands came."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The new state, and how the status changed, if it did."""

    reservation: Reservation
    change: StatusChange | None = None


@dataclass(frozen=True, slots=True)
class Parked:
    """A payment whose reservation is not there yet: it waits for it."""


Decision = Applied | Rejected | Parked


def advance(state: Reservation, context: Context, **changes: Any) -> Reservation:
    """Return the next revision of a reservation."""
    return state.model_copy(update={**changes, "rev": state.rev + 1, "updated_at": context.now})


def move(
    state: Reservation, target: Status, command: Envelope, reason: str | None, context: Context, **changes: Any
) -> Applied:
    """Return a reservation in another status, with what else changes."""
    told = (
        state.told
        if state.told and state.told.lane == context.lane
        else Told(lane=context.lane, since_rev=state.rev + 1)
    )
    party = _arrived(state, target, context)
    moved = advance(state, context, status=target, participants=party, told=told, **changes)
    return Applied(moved, change_of_status(state.status, moved, command, reason, context))


def _arrived(state: Reservation, target: Status, context: Context) -> tuple[Participant, ...]:
    if target is not Status.CHECKED_IN:
        return state.participants
    arrival = {"checked_in": True, "check_in_time": context.now}
    return tuple(participant.model_copy(update=arrival) for participant in state.participants)


def change_of_status(
    old: Status | None, reservation: Reservation, command: Envelope, reason: str | None, context: Context
) -> StatusChange:
    """Return the row of the status history that tells of a change."""
    return StatusChange(
        history_id=kin_of(reservation.reservation_id, reservation.rev, context.entropy),
        old_status=old,
        new_status=reservation.status,
        changed_by=command.issued_by,
        reason=reason,
        changed_at=reservation.updated_at if old else context.now,
        rev=reservation.rev,
        command_id=command.command_id,
    )
