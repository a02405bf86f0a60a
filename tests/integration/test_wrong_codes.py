"""Confirmation codes can't be found by trying: after a few wrong ones nothing is told any more."""

from typing import Any
from uuid import uuid4

from tests.bookings import book
from tests.service import Service

DAY, OTHER_DAY = "2027-07-04", "2027-07-05"
ALLOWED = 5


def a_code() -> str:
    """Return a code that no reservation has."""
    return f"ZZ{uuid4().int % 10**10:010}"


async def look_up(service: Service, code: str, day: str = DAY) -> tuple[int, Any, Any]:
    """Look for a reservation as a kiosk does."""
    query = f"confirmation_code={code}&start_date={day}&end_date={day}&party_size=3"
    return await service.ask("GET", f"/reservations?{query}")


async def lock(service: Service, code: str) -> None:
    """Try a code with a wrong date as often as that is allowed."""
    for _ in range(ALLOWED):
        status, found, _ = await look_up(service, code, OTHER_DAY)
        assert (status, found["content"]) == (200, [])


def plain(refusal: dict[str, Any]) -> dict[str, Any]:
    """Return a refusal without what differs each time."""
    return {name: value for name, value in refusal.items() if name not in {"timestamp", "trace_id"}}


async def test_a_code_tried_wrongly_too_often_is_locked_for_right_tries_too_and_nothing_tells_whether_it_exists(
    service: Service,
) -> None:
    made = await book(service, trip_date=DAY, party_size=3)
    right, unknown = made["confirmation_code"], a_code()
    refusals = []
    for code in (right, unknown):
        await lock(service, code)
        for typed in (code, code.lower(), f"{code[:4]}-{code[4:]}"):
            status, refusal, headers = await look_up(service, typed)
            assert (status, refusal["error"]) == (429, "TOO_MANY_REQUESTS")
            assert 800 < int(headers["Retry-After"]) <= 900
            refusals.append(plain(refusal))
    assert all(refusal == refusals[0] for refusal in refusals)


async def test_other_codes_and_other_searches_are_not_locked_with_it(service: Service) -> None:
    made = await book(service, trip_date=DAY, party_size=3)
    await lock(service, a_code())
    assert (await look_up(service, made["confirmation_code"]))[1]["content"] == [made]
    assert (await service.ask("GET", f"/reservations?guest_id={made['guest_id']}"))[1]["content"] == [made]


async def test_a_right_code_may_be_looked_up_as_often_as_one_likes(service: Service) -> None:
    made = await book(service, trip_date=DAY, party_size=3)
    for _ in range(ALLOWED + 3):
        assert (await look_up(service, made["confirmation_code"]))[1]["content"] == [made]


async def test_a_page_beyond_a_found_reservation_is_no_wrong_try(service: Service) -> None:
    made = await book(service, trip_date=DAY, party_size=3)
    for _ in range(ALLOWED + 1):
        status, _, _ = await service.ask("GET", f"/reservations?confirmation_code={made['confirmation_code']}&page=1")
        assert status == 200
