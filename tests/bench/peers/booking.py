"""A booking as a peer reads it from a command, with the ids and the JSON that are made for it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from reservations.models.identifiers import BufferedEntropy, confirmation_code, kin_of, time_of

CREATE = "reservation.create"
PARTICIPANT = {"medical_clearance": False, "gear_assignment_id": None, "checked_in": False, "check_in_time": None}
PARTICIPANT_DETAILS = orjson.dumps(PARTICIPANT).decode()
HIDDEN: dict[str, Any] = {
    "promo_code": None,
    "paid_amount": 0.0,
    "payments": [],
    "told": {"lane": "commands", "since_rev": 1},
}
entropy = BufferedEntropy()


class UnreadableError(Exception):
    """It is not a command that can be read."""


class Entry(NamedTuple):
    """A row of the inbox."""

    command_id: UUID
    kind: str
    reservation_id: UUID
    fingerprint: UUID
    outcome: str
    publications: str


class Booking:
    """A command that books."""

    def __init__(self, message: bytes) -> None:
        try:
            self._read(orjson.loads(message))
        except (ValueError, KeyError, TypeError) as reason:
            raise UnreadableError(str(reason)) from reason
        self._make_ids()

    def _read(self, command: Mapping[str, Any]) -> None:
        if command["type"] != CREATE:
            raise ValueError(command["type"])
        self.command_id = UUID(command["command_id"])
        self.reservation_id = UUID(command["reservation_id"])
        self.changed_by = str(command["issued_by"])
        asked = self.asked = command["payload"]
        self.guest_id, self.trip_id = UUID(asked["guest_id"]), UUID(asked["trip_id"])
        self.trip_date = date.fromisoformat(asked["trip_date"])
        self.party_size = int(asked["party_size"])
        self.total_amount = Decimal(str(asked["total_amount"]))
        self.guests = [UUID(each["guest_id"]) for each in asked["participants"]]
        self.roles = [each.get("role", "GUEST") for each in asked["participants"]]

    def _make_ids(self) -> None:
        self.now = datetime.now(UTC)
        self.created_at = time_of(self.reservation_id)
        self.history_id = kin_of(self.reservation_id, 1, entropy)
        self.participant_ids = [kin_of(self.reservation_id, place, entropy) for place in range(len(self.guests))]
        self.code = confirmation_code(self.created_at, entropy)
        self.fingerprint = UUID(bytes=blake2b(orjson.dumps(self.asked), digest_size=16).digest())

    @property
    def key(self) -> bytes:
        """The key of what is published."""
        return str(self.reservation_id).encode()

    @cached_property
    def rows(self) -> Mapping[str, tuple[Any, ...]]:
        """The arguments of each statement of the effect."""
        own, made, details = self.reservation_id, self.created_at, orjson.dumps({**self._details(), **HIDDEN}).decode()
        amounts = self.trip_date, self.party_size, self.total_amount
        roles = [role.lower() for role in self.roles]
        step = orjson.dumps({"_rev": 1, "command_id": self.command_id}).decode()
        return {
            "take_seats": (self.trip_id, self.trip_date, self.party_size),
            "claim_day": (self.guest_id, self.trip_date, own),
            "reserve": (own, self.guest_id, self.trip_id, self.code, *amounts, made, made, details),
            "join_party": (own, self.now, PARTICIPANT_DETAILS, self.participant_ids, self.guests, roles),
            "record": (self.history_id, own, self.changed_by, self.now, step),
        }

    @cached_property
    def event(self) -> bytes:
        """The event that tells of it."""
        return orjson.dumps(
            {
                "event_id": self.history_id,
                "event_type": "reservation.created",
                "timestamp": self.now,
                "reservation_id": self.reservation_id,
                "guest_id": self.guest_id,
                "trip_id": self.trip_id,
                "trip_date": self.trip_date,
                "participant_count": self.party_size,
                "status": "CONFIRMED",
                "confirmation_code": self.code,
            }
        )

    @cached_property
    def applied(self) -> Entry:
        """The inbox row of a booking that is made."""
        return self._entry("applied", self._shown(), None, f"[{self.event.decode()}]")

    @cached_property
    def refused(self) -> Entry:
        """The inbox row of a booking that the database refuses."""
        return self._entry("rejected", None, {"code": "CONFLICT", "message": "Full, or booked already."}, "[]")

    def _entry(self, outcome: str, shown: Any, error: Any, publications: str) -> Entry:
        result = {
            "command_id": self.command_id,
            "type": CREATE,
            "outcome": outcome,
            "replayed": False,
            "fingerprint": self.fingerprint,
            "reservation_id": self.reservation_id,
            "reservation": shown,
            "participant_id": None,
            "error": error,
            "completed_at": self.now,
        }
        text = orjson.dumps(result).decode()
        return Entry(self.command_id, CREATE, self.reservation_id, self.fingerprint, text, publications)

    def _details(self) -> dict[str, Any]:
        return {
            "booking_source": self.asked.get("booking_source", "WEB_DIRECT"),
            "gear_package_id": self.asked.get("gear_package_id"),
            "special_requirements": self.asked.get("special_requirements"),
            "emergency_contact": self.asked.get("emergency_contact"),
            "payment_reference": None,
        }

    def _shown(self) -> dict[str, Any]:
        party = zip(self.participant_ids, self.guests, self.roles, strict=True)
        return {
            **self._details(),
            "reservation_id": self.reservation_id,
            "guest_id": self.guest_id,
            "trip_id": self.trip_id,
            "confirmation_code": self.code,
            "status": "CONFIRMED",
            "trip_date": self.trip_date,
            "party_size": self.party_size,
            "total_amount": float(self.total_amount),
            "currency": "USD",
            "participants": [
                {**PARTICIPANT, "participant_id": own, "guest_id": guest, "role": role, "waiver_signed": False}
                for own, guest, role in party
            ],
            "created_at": self.created_at,
            "updated_at": self.created_at,
            "_rev": 1,
            "id": self.reservation_id,
        }
