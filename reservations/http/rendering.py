"""Rows as callers see them. They were written by typed models, so they are shown without being validated again."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from asyncpg import Record

    Party = Iterable[tuple[str, str, str, bool, str]]


def body_of(shown: object) -> bytes:
    """Return the JSON of what is shown; instants end in Z."""
    return orjson.dumps(shown, option=orjson.OPT_UTC_Z)


def reservation_shown(row: "Record | Mapping[str, Any]") -> dict[str, Any]:
    """Return what callers see of a reservation's row."""
    details = orjson.loads(row["details"]).get
    reservation_id = row["reservation_id"]
    return {
        "booking_source": details("booking_source", "WEB_DIRECT"),
        "gear_package_id": details("gear_package_id"),
        "special_requirements": details("special_requirements"),
        "emergency_contact": details("emergency_contact"),
        "payment_reference": details("payment_reference"),
        "reservation_id": reservation_id,
        "guest_id": row["guest_id"],
        "trip_id": row["trip_id"],
        "confirmation_code": row["confirmation_code"],
        "status": row["status"].upper(),
        "trip_date": row["trip_date"],
        "party_size": row["party_size"],
        "total_amount": float(row["total_amount"]),
        "currency": row["currency"],
        "participants": party_shown(row["party"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "_rev": row["_rev"],
        "id": reservation_id,
    }


def party_shown(party: "Party") -> list[dict[str, Any]]:
    """Return what callers see of a reservation's participants."""
    return [_participant(*each) for each in party]


def _participant(participant_id: str, guest_id: str, role: str, waiver_signed: bool, more: str) -> dict[str, Any]:
    details = orjson.loads(more).get
    return {
        "medical_clearance": details("medical_clearance", False),
        "gear_assignment_id": details("gear_assignment_id"),
        "checked_in": details("checked_in", False),
        "check_in_time": details("check_in_time"),
        "participant_id": participant_id,
        "guest_id": guest_id,
        "role": role.upper(),
        "waiver_signed": waiver_signed,
    }


def payments_shown(row: "Record | Mapping[str, Any]") -> dict[str, Any]:
    """Return what was paid for a reservation, less what was refunded, and each entry."""
    details = orjson.loads(row["details"])
    return {"paid_amount": float(details.get("paid_amount", 0)), "entries": details.get("payments", [])}
