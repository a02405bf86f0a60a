"""Forgetting a guest: what of a booking is personal, and what is left of the copies when it is gone."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from pydantic import NonNegativeInt

from reservations.models.payments import PAYMENT_COMPLETED, PAYMENT_REFUNDED
from reservations.models.reservation import View
from reservations.models.vocabulary import NO_SHOW_TIMEOUT, PAYMENT_TIMEOUT, CancellationReason

#: The service's own words for a change of status; whatever else stands there, somebody wrote.
OWN_REASONS = (PAYMENT_TIMEOUT, NO_SHOW_TIMEOUT, PAYMENT_COMPLETED, PAYMENT_REFUNDED)
KEPT_REASONS = frozenset((*CancellationReason, *OWN_REASONS))
PERSONAL = ("special_requirements", "emergency_contact")

Json = dict[str, Any]


class Erased(View):
    """How much was erased: rows of each kind, whatever was in them."""

    finished: bool = False
    reservations: NonNegativeInt = 0
    """Reservations that have a new revision now."""
    participants: NonNegativeInt = 0
    reasons: NonNegativeInt = 0
    inbox_entries: NonNegativeInt = 0

    def and_also(self, **more: int) -> "Erased":
        """Return the sums with more of some kinds."""
        return self.model_copy(update={name: getattr(self, name) + count for name, count in more.items()})


def outcome_without(outcome: str, guest_id: UUID) -> str:
    """Return a result (JSON) without what is personal of the guest; the same text when there is nothing."""
    result = orjson.loads(outcome)
    return orjson.dumps(result).decode() if _erase_result(result, str(guest_id)) else outcome


def publications_without(publications: str, guest_id: UUID) -> str:
    """Return events (a JSON array) without the reasons that somebody wrote of the guest's bookings."""
    events = orjson.loads(publications)
    erased = [_erase_reason(event, str(guest_id)) for event in events]
    return orjson.dumps(events).decode() if any(erased) else publications


def released_without(released: str, guest_id: UUID) -> str:
    """Return payments that had waited, each with its result (a JSON array), without what is personal of the guest."""
    kept = orjson.loads(released)
    erased = [_erase_result(each["result"], str(guest_id)) for each in kept]
    return orjson.dumps(kept).decode() if any(erased) else released


def _erase_result(result: Json | None, guest_id: str) -> bool:
    reservation: Json = (result or {}).get("reservation") or {}
    return _erase_reservation(reservation, guest_id)


def _erase_reservation(reservation: Json, guest_id: str) -> bool:
    """Erase in place; tell whether there was something."""
    erased = [name for name in PERSONAL if _is_of(reservation, guest_id) and reservation.get(name) is not None]
    reservation.update(dict.fromkeys(erased))
    cleared = [each for each in reservation.get("participants", ()) if _is_cleared(each, guest_id)]
    for participant in cleared:
        participant["medical_clearance"] = False
    return bool(erased or cleared)


def _erase_reason(event: Json, guest_id: str) -> bool:
    if not _is_of(event, guest_id) or event.get("reason") is None or event["reason"] in KEPT_REASONS:
        return False
    event["reason"] = None
    return True


def _is_cleared(participant: Mapping[str, Any], guest_id: str) -> bool:
    return _is_of(participant, guest_id) and bool(participant.get("medical_clearance"))


def _is_of(what: Mapping[str, Any], guest_id: str) -> bool:
    return what.get("guest_id") == guest_id
