"""Requests that can't be understood are refused in one form, which names the field and repeats no value."""

import gzip
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.bookings import a_booking, book, encoded
from tests.service import Process, Service

Json = dict[str, Any]

UNKNOWN = "01900000-0000-7000-8000-000000000000"
CANARY = "cAnArYrEqUeSt"  # must appear in no log line and in no answer
MANY_DIGITS = "1" * 5000
DEEP = "[" * 1000 + "]" * 1000

NOT_UUIDS: Sequence[Any] = [1, True, None, [], {}, "", "x", CANARY, "0190f000-0000-7000-8000-00000000000", "\0"]
NOT_TEXTS = [1, True, [], {}, "a\0b"]
NOT_DATES: Sequence[Any] = [
    20270612, None, True, [], {}, "", "x", CANARY, "2027-02-30", "2027-13-01", "12.06.2027", "2027-6-12", "86400",
    "10000-01-01", "2027-06-12T00:00:00Z",
]  # fmt: skip
NOT_INTEGERS = ["2", 1.5, True, [], {}, 10**30, -1, 0, 501]
NOT_AMOUNTS = ["1.00", True, [], {}, -0.01, -1, 0.001, 1e8, 100000000, 1e300, 10**30, math.nan, math.inf]
NOT_REVISIONS = ["x", "", "1.0", "-1", " 1", "٣", "1" * 11, 0, -1, 2**31, 10**30, True, 1.5, [], {}, math.nan]

BAD_FIELDS: Mapping[str, Sequence[Any]] = {
    "guest_id": NOT_UUIDS,
    "trip_id": NOT_UUIDS,
    "trip_date": NOT_DATES,
    "party_size": NOT_INTEGERS,
    "total_amount": NOT_AMOUNTS,
    "currency": [1, None, True, [], {}, "", "usd", "US", "USDD", "US1", "U\0D", CANARY],
    "booking_source": [1, None, [], {}, "", "web_direct", "FAX", CANARY],
    "gear_package_id": [*NOT_TEXTS, "", "x" * 65],
    "special_requirements": [*NOT_TEXTS, "x" * 501],
    "promo_code": [*NOT_TEXTS, "x" * 51],
    "awaiting_payment": ["true", 0, 1, None, [], {}],
    "participants": [1, True, None, {}, "x", [{}] * 501],
    "emergency_contact": [1, True, [], "x"],
    "nonsense": [1, None, CANARY],
    "status": ["CANCELLED"],
    "reservation_id": [UNKNOWN],
    "_rev": [1],
}
BAD_PARTS: Sequence[tuple[str, Json]] = [
    ("participants.0.guest_id", {"participants": [{"guest_id": CANARY}]}),
    ("participants.0.guest_id", {"participants": [{}]}),
    ("participants.0.role", {"participants": [{"guest_id": UNKNOWN, "role": "DOG"}]}),
    ("participants.0.medical_clearance", {"participants": [{"guest_id": UNKNOWN, "medical_clearance": "yes"}]}),
    ("participants.0.nonsense", {"participants": [{"guest_id": UNKNOWN, "nonsense": 1}]}),
    ("participants.1", {"participants": [{"guest_id": UNKNOWN}, 7]}),
    ("emergency_contact.name", {"emergency_contact": {"phone": "1"}}),
    ("emergency_contact.name", {"emergency_contact": {"name": "", "phone": "1"}}),
    ("emergency_contact.name", {"emergency_contact": {"name": "x" * 201, "phone": "1"}}),
    ("emergency_contact.phone", {"emergency_contact": {"name": "x"}}),
    ("emergency_contact.phone", {"emergency_contact": {"name": "x", "phone": "\0"}}),
    ("emergency_contact.relationship", {"emergency_contact": {"name": "x", "phone": "1", "relationship": "x" * 101}}),
    ("emergency_contact.nonsense", {"emergency_contact": {"name": "x", "phone": "1", "nonsense": CANARY}}),
    ("party_size", {"participants": [{"guest_id": UNKNOWN}] * 3, "party_size": 2}),
]
NOT_JSON = [
    b"", b" ", b"{", b"}", b"nonsense", b'{"guest_id":', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{'guest_id': 1}", b"{} {}",
    b'{"guest_id": "\\ud800"}', b'{"guest_id": "\\udc00\\ud800"}', b'{"\\ud800": 1}', b'{"guest_id": "\xed\xa0\x80"}',
    b'{"guest_id": "\\u12"}', b'{"a": tru}', b'{"a": 01}', b"\0", b"\x1f\x8b\x08", DEEP.encode(),
    f'{{"total_amount": {MANY_DIGITS}}}'.encode(), f'{{"party_size": {MANY_DIGITS}}}'.encode(),
]  # fmt: skip
NOT_OBJECTS = [b"[]", b"[{}]", b"null", b"1", b'"x"', b"true", b"NaN"]


async def refused(service: Service, statuses: int | set[int], method: str, path: str, **options: Any) -> Json:
    """Send a request that must be refused; return the refusal, once its form is that of every error."""
    status, body, headers = await service.ask(method, path, **options)
    asked = (method, path[:200], str(options)[:200])
    assert status in ({statuses} if isinstance(statuses, int) else statuses), (asked, status, body)
    assert isinstance(body, dict), (asked, body)
    assert body["error"].isupper(), asked
    assert body["message"], asked
    assert datetime.fromisoformat(body["timestamp"]).utcoffset() is not None, asked
    assert headers["traceparent"].split("-")[1] == body["trace_id"], asked
    assert CANARY not in json.dumps(body), asked
    return body


async def refused_for(service: Service, field: str, method: str, path: str, **options: Any) -> None:
    """Send a request that must be refused for one field alone."""
    body = await refused(service, 400, method, path, **options)
    assert (body["error"], [each["field"] for each in body["fields"]]) == ("VALIDATION_FAILED", [field]), options
    assert field in body["message"]


@pytest.mark.parametrize("field", BAD_FIELDS)
async def test_a_wrong_value_is_refused_and_its_field_is_named(service: Service, field: str) -> None:
    for value in BAD_FIELDS[field]:
        body = await refused(service, 400, "POST", "/reservations", json=a_booking(**{field: value}))
        assert {each["field"].split(".")[0] for each in body["fields"]} == {field}, value


async def test_a_wrong_part_is_refused_with_the_way_to_it(service: Service) -> None:
    for field, change in BAD_PARTS:
        await refused_for(service, field, "POST", "/reservations", json=a_booking(**change))


@pytest.mark.parametrize("field", ["guest_id", "trip_id", "trip_date", "total_amount"])
async def test_what_is_required_and_absent_is_named(service: Service, field: str) -> None:
    body = a_booking()
    del body[field]
    await refused_for(service, field, "POST", "/reservations", json=body)


@pytest.mark.parametrize("body", NOT_JSON + NOT_OBJECTS, ids=lambda body: repr(body[:20]))
async def test_a_body_that_is_no_json_object_is_refused_by_every_write(service: Service, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    path = f"/reservations/{UNKNOWN}"
    for method, address in (
        ("POST", "/reservations"),
        ("PATCH", path),
        ("POST", f"{path}/participants"),
        ("PUT", f"{path}/status"),
    ):
        await refused_for(service, "body", method, address, data=body, headers=headers)


async def chunks(count: int) -> AsyncIterator[bytes]:
    """Yield a body in pieces, so that its length is not known before."""
    for _ in range(count):
        yield b" " * 1024


@pytest.mark.parametrize("size_kb", [65, 1024])
async def test_a_body_over_64_kb_is_refused_however_it_is_sent(service: Service, size_kb: int) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b" " * (size_kb * 1024), chunks(size_kb)):
        refusal = await refused(service, 413, "POST", "/reservations", data=body, headers=headers)
        assert refusal["error"] == "PAYLOAD_TOO_LARGE"


async def test_a_body_just_within_64_kb_is_read(service: Service) -> None:
    body = encoded(a_booking()).ljust(64 * 1024)
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await service.ask("POST", "/reservations", data=body, headers=headers))[0] == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "json"])
async def test_another_content_type_is_refused(service: Service, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    refusal = await refused(service, 415, "POST", "/reservations", data=encoded(a_booking()), headers=headers)
    assert refusal["error"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_a_body_that_is_not_compressed_as_it_says_is_refused(service: Service) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    body = b"\xff" + encoded(a_booking())
    await refused(service, {400, 415}, "POST", "/reservations", data=body, headers=headers)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, which says how much memory is used")
async def test_a_small_body_that_unfolds_to_a_huge_one_takes_no_memory(service: Service) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    bomb = gzip.compress(b" " * 512 * 1024 * 1024)
    gateway = next(process for process in service.processes if process.name == "gateway")
    before = peak_memory_kb(gateway)
    for _ in range(3):
        refusal = await refused(service, 413, "POST", "/reservations", data=bomb, headers=headers)
        assert refusal["error"] == "PAYLOAD_TOO_LARGE"
    assert peak_memory_kb(gateway) - before < 16 * 1024


def peak_memory_kb(process: Process) -> int:
    """Return the most memory that a process has had so far."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


BAD_QUERIES = [
    ("page", "-1"), ("page", "x"), ("page", "1.5"), ("page", "10001"), ("page", "1" * 30), ("page", ""),
    ("size", "0"), ("size", "-1"), ("size", "101"), ("size", "x"), ("size", "1e1"), ("size", ""),
    ("guest_id", "x"), ("guest_id", ""), ("guest_id", "%00"), ("trip_id", CANARY), ("trip_id", "%ff"),
    ("status", "confirmed"), ("status", "LOST"), ("status", ""), ("start_date", "x"), ("start_date", "2027-02-30"),
    ("start_date", "86400"), ("end_date", ""), ("end_date", "2027-06-12T12:00:00Z"), ("confirmation_code", "x" * 41),
    ("party_size", "-1"), ("party_size", str(2**31)), ("party_size", "x"),
    ("cursor", "x"), ("nonsense", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_QUERIES)
async def test_a_wrong_query_parameter_is_refused_and_named(service: Service, name: str, value: str) -> None:
    await refused_for(service, name, "GET", f"/reservations?{name}={value}")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=1&page=2", "page"),
        ("status=PENDING&status=CONFIRMED", "status"),
        ("page=200&size=100", "size"),
        ("page=1&cursor=", "cursor"),
        ("start_date=2027-06-12&end_date=2027-06-11", "end_date"),
    ],
)
async def test_query_parameters_that_do_not_go_together_are_refused(service: Service, query: str, field: str) -> None:
    await refused_for(service, field, "GET", f"/reservations?{query}")


@pytest.mark.parametrize("reason", ["", "?reason=", "?reason=weather", f"?reason={CANARY}", "?reason=%00"])
async def test_a_cancellation_without_a_known_reason_is_refused(service: Service, reason: str) -> None:
    await refused_for(service, "reason", "DELETE", f"/reservations/{UNKNOWN}{reason}")


async def test_a_wrong_revision_is_refused_by_both_changes_that_need_one(service: Service) -> None:
    made = await book(service)
    path = f"/reservations/{made['id']}"
    for rev in NOT_REVISIONS:
        await refused_for(service, "_rev", "PATCH", path, json={"party_size": 2, "_rev": rev})
        status = {"target_status": "CANCELLED", "_rev": rev}
        await refused_for(service, "_rev", "PUT", f"{path}/status", json=status)
    assert (await service.ask("GET", path))[1] == made


@pytest.mark.parametrize("rev", ["1", "01", 1, 1.0])
async def test_a_revision_may_be_an_integer_or_digits(service: Service, rev: Any) -> None:
    made = await book(service)
    status, changed, _ = await service.ask("PATCH", f"/reservations/{made['id']}", json={"party_size": 2, "_rev": rev})
    assert (status, changed["_rev"]) == (200, 2)


@pytest.mark.parametrize(
    "tag",
    [
        "1",
        '"x"',
        '""',
        '"1',
        '"1","2"',
        '"0"',
        '"-1"',
        '"1.0"',
        '"2147483648"',
        'x"1"',
        '"00000001999999999999"',
        '"٣"',
        "\xff",
    ],
)
async def test_a_wrong_if_match_is_refused(service: Service, tag: str) -> None:
    made = await book(service)
    options: Json = {"json": {"party_size": 2}, "headers": {"If-Match": tag}}
    await refused_for(service, "If-Match", "PATCH", f"/reservations/{made['id']}", **options)


@pytest.mark.parametrize("key", ["", "two words", "x" * 201, "\xff", "é", "\t"])
async def test_a_wrong_idempotency_key_is_refused(service: Service, key: str) -> None:
    options: Json = {"json": a_booking(), "headers": {"Idempotency-Key": key}}
    await refused_for(service, "Idempotency-Key", "POST", "/reservations", **options)


async def test_a_path_that_is_no_id_is_refused_and_an_unknown_one_not_found(service: Service) -> None:
    for name in ("x", CANARY, "1", "%00", "%ff", "0190f000-0000-7000-8000-00000000000g", "'%20OR%201=1"):
        await refused_for(service, "reservation_id", "GET", f"/reservations/{name}")
        await refused_for(service, "reservation_id", "DELETE", f"/reservations/{name}?reason=WEATHER")
    await refused_for(service, "command_id", "GET", "/commands/x")
    for path in ("/", "/reservation", f"/reservations/{UNKNOWN}/nonsense", "/reservations/", "/%00", "/%ff"):
        assert (await refused(service, 404, "GET", path))["error"] == "ROUTE_NOT_FOUND"


async def test_another_method_is_not_allowed_and_the_allowed_ones_are_named(service: Service) -> None:
    for method, path, allowed in (
        ("DELETE", "/reservations", {"GET", "POST"}),
        ("POST", f"/reservations/{UNKNOWN}", {"GET", "PATCH", "DELETE"}),
        ("GET", f"/reservations/{UNKNOWN}/status", {"PUT"}),
    ):
        assert (await refused(service, 405, method, path))["error"] == "METHOD_NOT_ALLOWED"
        _, _, headers = await service.ask(method, path)
        assert allowed <= set(headers["Allow"].split(","))


async def test_a_request_that_is_hardly_http_is_refused_in_the_same_form(service: Service) -> None:
    body = await refused(service, {400, 414}, "GET", f"/reservations?guest_id={'x' * 20_000}")
    assert body["error"] == "VALIDATION_FAILED"


def logged_with(service: Service, text: str) -> list[str]:
    """Return the log lines of the shared processes that hold a text."""
    lines = [line for process in service.processes for line in process.raw_lines()]
    return [line for line in lines if text in line]


async def test_no_value_of_a_request_is_in_the_logs(service: Service) -> None:
    await refused(service, 400, "POST", "/reservations", json=a_booking(trip_date=CANARY, currency=CANARY))
    await refused(service, 400, "GET", f"/reservations/{CANARY}")
    await refused(service, 400, "GET", f"/reservations?trip_id={CANARY}")
    await refused(service, 404, "GET", f"/{CANARY}")
    assert logged_with(service, CANARY) == []
