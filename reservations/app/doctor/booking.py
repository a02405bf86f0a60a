"""A booking of the doctor's own: made far ahead for a guest and a trip that are nobody's, and cancelled at once."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from reservations.app.doctor.findings import Finding, wrong

#: Readers of events may leave out what is said of them.
GUEST_ID = UUID("d0c70000-0000-4000-8000-000000000001")
TRIP_ID = UUID("d0c70000-0000-4000-9000-000000000001")
ISSUED_BY = "reservations-doctor"
DAYS_SPREAD = 365
CANCELLATION = "DUPLICATE"

WORKER_CURE = "See that a worker runs and gets on (its log, /health/ready), and look at broker.lag."
_CURES = {
    "GUEST_NOT_ELIGIBLE": "Have guest and trip made where they are kept, or name others: --guest-id, --trip-id.",
    "UPSTREAM_UNAVAILABLE": "See that GUEST_PROFILES_URL and TRIP_CATALOG_URL answer the worker.",
    "OVERLAPPING_RESERVATION": "Try again: another booking of the doctor's has the same day.",
    "TRIP_FULLY_BOOKED": "Name another trip by --trip-id, or try again: the day is drawn by lot.",
    "UNAUTHENTICATED": "Give a token of a service or of the staff in RESERVATIONS_TOKEN, or book with --by kafka.",
    "FORBIDDEN": "Give a token that may book and cancel for others in RESERVATIONS_TOKEN, or book with --by kafka.",
    "BROKER_UNAVAILABLE": "Cure what is found of the broker; the gateway can't reach it.",
    "DATABASE_UNAVAILABLE": "Cure what is found of the database; the gateway can't reach it.",
    "OVERLOADED": "Start more workers, up to KAFKA_PARTITIONS; look at broker.lag.",
    "COMMAND_DEAD_LETTERED": "Look at it by `reservations dead-letters list`, and at the worker's log.",
}


@dataclass(frozen=True, slots=True)
class Booking:
    """What is to be booked."""

    guest_id: UUID
    trip_id: UUID
    trip_date: date
    total_amount: float | None

    def payload(self) -> Mapping[str, Any]:
        """Return it as it is asked for."""
        asked = {
            "guest_id": str(self.guest_id),
            "trip_id": str(self.trip_id),
            "trip_date": self.trip_date.isoformat(),
            "booking_source": "CALL_CENTER",
            "party_size": 1,
        }
        return asked if self.total_amount is None else {**asked, "total_amount": self.total_amount}


def a_booking(guest_id: UUID, trip_id: UUID, window_days: int, *, is_priced: bool) -> Booking:
    """Return a booking near the end of the window, on a day drawn by lot: two doctors seldom meet."""
    ahead = max(1, window_days - 1 - secrets.randbelow(max(1, min(DAYS_SPREAD, window_days - 1))))
    trip_date = datetime.now(UTC).date() + timedelta(days=ahead)
    return Booking(guest_id, trip_id, trip_date, None if is_priced else 1.0)


def refused(check: str, code: str, message: str) -> Finding:
    """Return the finding that a step was refused."""
    return wrong(check, f"{code}: {message}", _CURES.get(code, "The message says what is wrong."))


def unanswered(check: str, limit_s: float) -> Finding:
    """Return the finding that a command had no result in time."""
    return wrong(check, f"no result within {limit_s:g} s", WORKER_CURE)
