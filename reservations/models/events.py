"""What happened: the events that other systems read."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import AwareDatetime, Field

from reservations.models.reservation import Reservation, StatusChange, View
from reservations.models.steps import Applied
from reservations.models.vocabulary import Status


class ReservationCreated(View):
    """A reservation was made."""

    event_id: UUID
    """The id of the status history row that the event tells of."""
    event_type: Literal["reservation.created"] = "reservation.created"
    timestamp: AwareDatetime
    reservation_id: UUID
    guest_id: UUID
    trip_id: UUID
    trip_date: date
    participant_count: Annotated[int, Field(ge=1)]
    """Seats booked."""
    status: Status
    confirmation_code: str


class StatusChanged(View):
    """A reservation moved to another status."""

    event_id: UUID
    """The id of the status history row that the event tells of."""
    event_type: Literal["reservation.status_changed"] = "reservation.status_changed"
    timestamp: AwareDatetime
    reservation_id: UUID
    previous_status: Status
    new_status: Status
    changed_by: str
    guest_id: UUID
    reason: str | None
    rev: Annotated[int, Field(alias="_rev", ge=1)]


Event = ReservationCreated | StatusChanged


def events_of(applied: Applied) -> tuple[Event, ...]:
    """Return the events that tell of a decision."""
    change = applied.change
    if change is None:
        return ()
    return (_event(change, applied.reservation),)


@dataclass(frozen=True, slots=True)
class Booked:
    """What events tell of a reservation, but for its status."""

    reservation_id: UUID
    guest_id: UUID
    trip_id: UUID
    trip_date: date
    party_size: int
    confirmation_code: str


def event_again(change: StatusChange, booked: Booked) -> Event:
    """Return the event of an earlier change, with what is booked now: date and seats may have been others then."""
    return _event(change, booked)


def _event(change: StatusChange, reservation: Reservation | Booked) -> Event:
    return _created(reservation, change) if change.old_status is None else _changed(reservation, change)


def _created(reservation: Reservation | Booked, change: StatusChange) -> ReservationCreated:
    return ReservationCreated(
        event_id=change.history_id,
        timestamp=change.changed_at,
        reservation_id=reservation.reservation_id,
        guest_id=reservation.guest_id,
        trip_id=reservation.trip_id,
        trip_date=reservation.trip_date,
        participant_count=reservation.party_size,
        status=change.new_status,
        confirmation_code=reservation.confirmation_code,
    )


def _changed(reservation: Reservation | Booked, change: StatusChange) -> StatusChanged:
    return StatusChanged(
        event_id=change.history_id,
        timestamp=change.changed_at,
        reservation_id=reservation.reservation_id,
        previous_status=change.old_status,
        new_status=change.new_status,
        changed_by=change.changed_by,
        guest_id=reservation.guest_id,
        reason=change.reason,
        rev=change.rev,
    )


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event to be published: its id, type and JSON, under the key of its reservation."""

    event_id: str
    event_type: str
    timestamp: str
    reservation_id: str
    value: str


def announcement_of(event: Event) -> Announcement:
    """Return an event as it is published."""
    return Announcement(
        str(event.event_id),
        event.event_type,
        event.timestamp.isoformat(),
        str(event.reservation_id),
        event.model_dump_json(),
    )


def announcement_in(publications: str, event_id: UUID) -> Announcement:
    """Return one of the events that were published together, as it was published.

    Raises:
        StopIteration: it is not among them.

    """
    return announcement_again(next(each for each in orjson.loads(publications) if each["event_id"] == str(event_id)))


def announcement_again(event: dict[str, str]) -> Announcement:
    """Return an event as it was published before."""
    return Announcement(
        event["event_id"],
        event["event_type"],
        event["timestamp"],
        event["reservation_id"],
        orjson.dumps(event).decode(),
    )
