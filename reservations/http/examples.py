"""Examples of messages: one booking's life, from the command that makes it to the party's arrival."""

from typing import Any

RESERVATION_ID = "01985a2c-7c00-7000-8000-0000000000aa"
GUEST_ID = "0b8f4a52-6f0e-4c0e-9d5e-2f6f0c1b7a11"
TRIP_ID = "00000000-0000-4000-9000-000000000008"
COMMAND_ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
EVENT_ID = "01985a2c-7d00-7000-8000-0000000000bb"
MADE_AT = "2027-05-01T12:00:00Z"
MOVED_AT = "2027-06-12T07:30:00Z"

_PAYLOADS: dict[str, dict[str, Any]] = {
    "reservation.create": {
        "guest_id": GUEST_ID,
        "trip_id": TRIP_ID,
        "trip_date": "2027-06-12",
        "participants": [{"guest_id": GUEST_ID, "role": "PRIMARY"}],
        "party_size": 2,
        "total_amount": 398.0,
    },
    "reservation.update": {"party_size": 3},
    "reservation.cancel": {"reason": "WEATHER"},
    "reservation.transition": {"target_status": "CHECKED_IN", "reason": "Arrived at the station"},
    "participant.add": {"guest_id": "3f333df6-90a4-4fda-8dd3-9485d27cee36", "role": "COMPANION"},
}

#: What some commands carry besides.
_BESIDES: dict[str, dict[str, Any]] = {
    "reservation.update": {"expected_rev": 1},
    "reservation.cancel": {"acting_for": {"guest_id": GUEST_ID}},
}


def a_command(kind: str) -> dict[str, Any]:
    """Return a command of that type."""
    return {
        "command_id": COMMAND_ID,
        "type": kind,
        "reservation_id": RESERVATION_ID,
        "issued_at": MADE_AT,
        "issued_by": "back-office",
        **_BESIDES.get(kind, {}),
        "payload": _PAYLOADS[kind],
    }


PAYMENT_EXAMPLE = {
    "event_id": "9a1d7a44-2a1c-4f6b-9a55-2f3a1f0c8d10",
    "event_type": "payment.processed",
    "timestamp": MADE_AT,
    "payment_id": "pay-1001",
    "reservation_id": RESERVATION_ID,
    "amount": 398.0,
    "currency": "USD",
    "status": "COMPLETED",
    "payment_method": "CREDIT_CARD",
}

CREATED_EXAMPLE = {
    "event_id": EVENT_ID,
    "event_type": "reservation.created",
    "timestamp": MADE_AT,
    "reservation_id": RESERVATION_ID,
    "guest_id": GUEST_ID,
    "trip_id": TRIP_ID,
    "trip_date": "2027-06-12",
    "participant_count": 2,
    "status": "CONFIRMED",
    "confirmation_code": "A2PRKV9SCEW7",
}

STATUS_EXAMPLE = {
    "event_id": "01985a2c-7e00-7000-8000-0000000000cc",
    "event_type": "reservation.status_changed",
    "timestamp": MOVED_AT,
    "reservation_id": RESERVATION_ID,
    "previous_status": "CONFIRMED",
    "new_status": "CHECKED_IN",
    "changed_by": "back-office",
    "guest_id": GUEST_ID,
    "reason": "Arrived at the station",
    "_rev": 2,
}

_RESERVATION = {
    "booking_source": "WEB_DIRECT",
    "gear_package_id": None,
    "special_requirements": None,
    "emergency_contact": None,
    "payment_reference": None,
    "reservation_id": RESERVATION_ID,
    "guest_id": GUEST_ID,
    "trip_id": TRIP_ID,
    "confirmation_code": "A2PRKV9SCEW7",
    "status": "CONFIRMED",
    "trip_date": "2027-06-12",
    "party_size": 2,
    "total_amount": 398.0,
    "currency": "USD",
    "participants": [
        {
            "medical_clearance": False,
            "gear_assignment_id": None,
            "checked_in": False,
            "check_in_time": None,
            "participant_id": "01985a2c-7c00-7000-8000-0000000000dd",
            "guest_id": GUEST_ID,
            "role": "PRIMARY",
            "waiver_signed": False,
        }
    ],
    "created_at": MADE_AT,
    "updated_at": MADE_AT,
    "_rev": 1,
    "id": RESERVATION_ID,
}

_RESULT = {
    "command_id": COMMAND_ID,
    "type": "reservation.create",
    "outcome": "applied",
    "replayed": False,
    "fingerprint": "2c1f0b7a-5f0e-bd0e-9d5e-0b8f4a526f0e",
    "reservation_id": RESERVATION_ID,
    "reservation": _RESERVATION,
    "participant_id": None,
    "error": None,
    "completed_at": MADE_AT,
}

RESULT_EXAMPLES = {
    "applied": _RESULT,
    "rejected": {
        **_RESULT,
        "type": "reservation.update",
        "outcome": "rejected",
        "reservation": None,
        "error": {
            "code": "REVISION_CONFLICT",
            "message": "The reservation is at revision 2, not 1; read it again and decide anew.",
            "details": {"expected_rev": 1, "current_rev": 2},
        },
    },
}
