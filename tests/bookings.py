"""Bookings to send: bodies for REST, commands for Kafka."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.service import Service


def a_booking(**changes: Any) -> dict[str, Any]:
    """Return the body of a new reservation, some of it changed."""
    return {
        "guest_id": str(uuid4()),
        "trip_id": str(uuid4()),
        "trip_date": "2027-06-12",
        "total_amount": 398.0,
        **changes,
    }


async def book(service: Service, **changes: Any) -> dict[str, Any]:
    """Make a reservation over REST; return it."""
    status, made, _ = await service.ask("POST", "/reservations", json=a_booking(**changes))
    assert status == 201, made
    reservation: dict[str, Any] = made
    return reservation


def a_command(kind: str, payload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a command as a producer sends it, some of it changed."""
    return {
        "command_id": str(uuid4()),
        "type": kind,
        "issued_at": datetime.now(UTC).isoformat(),
        "issued_by": "back-office",
        "payload": payload,
        **changes,
    }


def encoded(command: dict[str, Any]) -> bytes:
    """Return the bytes of a command."""
    return json.dumps(command).encode()
