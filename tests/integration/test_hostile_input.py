"""Input that means harm: SQL in every parameter, and fields that only the service may set."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.bookings import a_booking, book
from tests.service import Service

INJECTIONS: Sequence[str] = (
    "'",
    "''",
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE reservations.reservations; --",
    "'; SELECT pg_sleep(5); --",
    "' UNION SELECT rolname FROM pg_roles --",
    "1); DELETE FROM reservations.inbox; --",
    "$1",
    "{guest_id}",
    "%(guest_id)s",
    "\\'; --",
    "E'\\\\'",
    "/**/OR/**/TRUE",
    "' || (SELECT version()) || '",
    "::text",
    "CONFIRMED' AND pg_sleep(5) IS NULL --",
)
PARAMETERS = (
    "guest_id",
    "trip_id",
    "status",
    "start_date",
    "end_date",
    "confirmation_code",
    "party_size",
    "page",
    "size",
    "cursor",
)
HEADERS = ("Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "traceparent", "Authorization")
TEXTS: Mapping[str, Any] = {
    "special_requirements": lambda text: {"special_requirements": text},
    "gear_package_id": lambda text: {"gear_package_id": text},
    "promo_code": lambda text: {"promo_code": text},
    "emergency_contact": lambda text: {"emergency_contact": {"name": text, "phone": text[:40], "relationship": text}},
}
#: Far below what pg_sleep(5) would take.
SOON_S = 3.0

SERVER_SET: Mapping[str, Any] = {
    "id": str(uuid4()),
    "reservation_id": "01900000-0000-7000-8000-000000000000",
    "confirmation_code": "AAAAAAAAAAAA",
    "status": "COMPLETED",
    "rev": 7,
    "created_at": "2020-01-01T00:00:00Z",
    "updated_at": "2020-01-01T00:00:00Z",
    "payment_reference": "paid",
    "paid_amount": 398.0,
    "payments": [],
    "partner_id": "alpine-tours",
    "told": {"lane": "x", "since_rev": 1},
    "details": {"paid_amount": 398.0},
    "changed_by": "staff:eve",
    "issued_by": "staff:eve",
    "issued_at": "2020-01-01T00:00:00Z",
    "acting_for": {"guest_id": str(uuid4())},
    "command_id": str(uuid4()),
    "expected_rev": 1,
    "type": "reservation.cancel",
    "__proto__": {"admin": True},
    "__class__": "Reservation",
}
SERVER_SET_OF_A_PARTICIPANT: Mapping[str, Any] = {
    "participant_id": str(uuid4()),
    "waiver_signed": True,
    "checked_in": True,
    "check_in_time": "2020-01-01T00:00:00Z",
    "gear_assignment_id": "g-1",
    "reservation_id": str(uuid4()),
}


async def counts(service: Service) -> Mapping[str, int]:
    """Return how many rows each table has, all months together."""
    connection = await asyncpg.connect(service.database_url)
    try:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM reservations.{table}")  # noqa: S608  # our names
            for table in ("reservations", "participants", "status_history", "inbox")
        }
    finally:
        await connection.close()


def quick(begun: datetime) -> bool:
    return (datetime.now(UTC) - begun).total_seconds() < SOON_S


@pytest.mark.parametrize("name", PARAMETERS)
async def test_sql_in_a_query_parameter_is_a_value_or_refused(service: Service, name: str) -> None:
    await book(service)
    before = await counts(service)
    for text in INJECTIONS:
        begun = datetime.now(UTC)
        status, answer, _ = await service.ask("GET", "/reservations", params={name: text})
        # A code may be any text, if it was typed by somebody; it is then the code of nothing.
        expected = (429, 200) if name == "confirmation_code" else (400,)
        assert status in expected, (text, answer)
        assert status != 200 or answer["content"] == []
        assert quick(begun)
    assert await counts(service) == before


@pytest.mark.parametrize("path", ["/reservations/{}", "/reservations/{}/participants", "/commands/{}"])
async def test_sql_in_a_path_is_no_id(service: Service, path: str) -> None:
    for text in INJECTIONS:
        status, _, _ = await service.ask("GET", path.format(text.replace("/", "%2F")))
        assert status in {400, 404}, text


@pytest.mark.parametrize("name", HEADERS)
async def test_sql_in_a_header_is_a_value_or_refused(service: Service, name: str) -> None:
    made = await book(service)
    for text in INJECTIONS:
        begun = datetime.now(UTC)
        read, _, _ = await service.ask("GET", f"/reservations/{made['id']}", headers={name: text})
        write, answer, _ = await service.ask("POST", "/reservations", headers={name: text}, json=a_booking())
        assert read in {200, 304, 400}, text
        assert write in {201, 202, 400, 422}, answer
        assert quick(begun)


@pytest.mark.parametrize("field", TEXTS)
async def test_sql_in_a_text_is_kept_as_it_was_sent(service: Service, field: str) -> None:
    for text in INJECTIONS:
        made = await book(service, **TEXTS[field](text))
        if field == "promo_code":
            continue  # it is not shown
        _, read, _ = await service.ask("GET", f"/reservations/{made['id']}")
        assert read[field] == TEXTS[field](text)[field]


async def test_sql_in_a_reason_is_kept_as_it_was_sent(service: Service) -> None:
    for text in INJECTIONS:
        made = await book(service)
        body = {"_rev": 1, "target_status": "CHECKED_IN", "reason": text}
        status, _, _ = await service.ask("PUT", f"/reservations/{made['id']}/status", json=body)
        assert status == 200
        _, read, _ = await service.ask("GET", f"/reservations/{made['id']}?include=status_history")
        assert read["status_history"][1]["reason"] == text


def mass_assignments() -> Iterator[Any]:
    """Give every write with every field that only the service sets."""
    writes: Mapping[str, tuple[str, str, dict[str, Any]]] = {
        "create": ("POST", "/reservations", a_booking()),
        "modify": ("PATCH", "/reservations/{id}", {"_rev": 1, "party_size": 2}),
        "move": ("PUT", "/reservations/{id}/status", {"_rev": 1, "target_status": "CHECKED_IN"}),
        "join": ("POST", "/reservations/{id}/participants", {"guest_id": str(uuid4())}),
    }
    for name, write in writes.items():
        fields = {**SERVER_SET, **(SERVER_SET_OF_A_PARTICIPANT if name == "join" else {})}
        for field, value in fields.items():
            yield pytest.param(write, field, value, id=f"{name}-{field}")


@pytest.mark.parametrize(("write", "field", "value"), list(mass_assignments()))
async def test_a_field_that_only_the_service_sets_is_refused(
    service: Service, write: tuple[str, str, dict[str, Any]], field: str, value: Any
) -> None:
    method, path, body = write
    made = await book(service, party_size=3)
    address = path.replace("{id}", made["id"])
    status, answer, _ = await service.ask(method, address, json={**body, field: value})
    assert (status, [each["field"] for each in answer["fields"]]) == (400, [field])
    _, read, _ = await service.ask("GET", f"/reservations/{made['id']}")
    assert read == made


@pytest.mark.parametrize("field", SERVER_SET_OF_A_PARTICIPANT)
async def test_a_participant_of_a_new_booking_brings_nothing_that_only_the_service_sets(
    service: Service, field: str
) -> None:
    guest = {"guest_id": str(uuid4()), field: SERVER_SET_OF_A_PARTICIPANT[field]}
    status, answer, _ = await service.ask("POST", "/reservations", json=a_booking(participants=[guest]))
    assert (status, [each["field"] for each in answer["fields"]]) == (400, [f"participants.0.{field}"])
