"""What the inbox keeps of a message, told to an operator."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from reservations.app.settings import Settings
from reservations.tables import inbox
from reservations.tables.database import READER
from reservations.tables.inbox import Kept

CONNECT_LIMIT_S = 10.0
MASK = "(masked; --reveal shows it)"
PERSONAL = frozenset({"special_requirements", "emergency_contact"})
Entry = Mapping[str, Any]


async def find(settings: Settings, message_id: UUID) -> Kept | None:
    """Return what the inbox keeps of a message, as who may only read."""
    settings_of_session = {**READER, "application_name": "reservations-inbox", "timezone": "UTC"}
    connection = await asyncpg.connect(
        settings.database_url, server_settings=settings_of_session, timeout=CONNECT_LIMIT_S
    )
    try:
        return await inbox.entry(connection, message_id)
    finally:
        await connection.close()


def told(kept: Kept, *, reveal: bool) -> Entry:
    """Return an entry fit for JSON; what is personal is masked unless it is to be revealed."""
    entry = {
        "command_id": str(kept.message_id),
        "kind": kept.kind,
        "outcome": "waiting" if kept.outcome is None else orjson.loads(kept.outcome)["outcome"],
        "issued_by": kept.issued_by,
        "at": kept.processed_at.isoformat(),
        "reservation_id": kept.reservation_id and str(kept.reservation_id),
        "result": kept.outcome and orjson.loads(kept.outcome),
        "events": orjson.loads(kept.publications),
        "waiting": kept.parked and orjson.loads(kept.parked),
        "released": orjson.loads(kept.released),
    }
    masked: Entry = entry if reveal else _masked(entry)
    return masked


def _masked(value: Any) -> Any:
    """Return JSON in which what is personal, however deep, is masked."""
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: MASK if name in PERSONAL and each is not None else _masked(each) for name, each in value.items()}


def lines(entry: Entry) -> Iterator[str]:
    """Yield an entry for a person to read."""
    for name in ("command_id", "kind", "outcome", "issued_by", "at", "reservation_id"):
        yield f"{name:<15} {'-' if entry[name] is None else entry[name]}"
    result = entry["result"]
    if result and result["error"]:
        yield f"{'refused':<15} {result['error']['code']}: {result['error']['message']}"
    if result and result["reservation"]:
        yield f"{'reservation':<15} {_json(result['reservation'])}"
    for event in entry["events"]:
        yield f"{'event':<15} {event['event_type']} {event['event_id']} at {event['timestamp']}"
    if entry["waiting"]:
        yield f"{'waiting':<15} for its reservation: {_json(entry['waiting']['payload'])}"
    for each in entry["released"]:
        yield f"{'released':<15} payment {each['payment']['command_id']}: {each['result']['outcome']}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
