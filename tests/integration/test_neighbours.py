"""The neighbours' client against a real server on loopback, which behaves as badly as servers do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from time import monotonic
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web

from reservations.agents.neighbour_calls import MAX_ANSWER_BYTES
from reservations.agents.neighbours import NeighbourLimits, Neighbours
from reservations.app.serving import serving
from reservations.models.eligibility import Absence, Guest, GuestStatus, Surroundings, Trip, TripStatus, unavailable
from tests.conditions import eventually
from tests.neighbourhood import (
    Behaviour,
    FakeNeighbour,
    abandoned_by,
    dribble,
    drop,
    flood,
    hang,
    offer,
    says,
    was_asked,
)

GUEST, OTHER, TRIP, DIVE = (UUID(int=number) for number in (1, 2, 8, 9))
# Long enough that a busy machine answers an honest call at the first attempt; two attempts fit into the budget.
LIMITS = NeighbourLimits(budget_s=3.5, call_timeout_s=1.2)
GRACE_S = 2.0  # for a busy machine; the misbehaving neighbours would take 10 s and more


@dataclass
class Now:
    """A clock that stands still until it is moved."""

    seconds: float = 1000

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def fake() -> AsyncIterator[FakeNeighbour]:
    """Give a neighbour that knows one guest, one trip, and a trip that requires a certification."""
    neighbour = FakeNeighbour()
    for guest in (GUEST, OTHER):
        neighbour.answers[f"/guests/{guest}"] = {
            "guest_id": str(guest),
            "status": "ACTIVE",
            "date_of_birth": "1990-06-15",
            "loyalty_tier": "GOLD",
        }
    neighbour.answers[f"/guests/{GUEST}/certifications"] = ["DIVER"]
    neighbour.answers[f"/trips/{TRIP}"] = offer(TRIP)
    neighbour.answers[f"/trips/{DIVE}"] = offer(DIVE) | {"required_certifications": ["DIVER"]}
    application = web.Application(handler_args={"handler_cancellation": True})
    application.router.add_get("/{path:.*}", neighbour.answer)
    async with serving(application, "127.0.0.1", 0, stop_deadline_s=0.01) as neighbour.url:
        yield neighbour


@asynccontextmanager
async def asking(fake: FakeNeighbour, limits: NeighbourLimits = LIMITS, **options: Any) -> AsyncIterator[Neighbours]:
    """Give a client of the fake neighbour."""
    async with aiohttp.ClientSession() as session:
        yield Neighbours(session, fake.url, fake.url + "/", limits, **options)


async def within_budget(work: Awaitable[Surroundings]) -> Surroundings:
    """Return what the work returns, once it is known to have kept the budget."""
    began = monotonic()
    found = await work
    assert monotonic() - began < LIMITS.budget_s + GRACE_S
    return found


async def test_what_the_neighbours_tell_is_understood(fake: FakeNeighbour) -> None:
    async with asking(fake) as neighbours:
        found = await neighbours.surroundings([TRIP], [GUEST])
    assert found.guest(GUEST) == Guest(GUEST, GuestStatus.ACTIVE, date(1990, 6, 15), None)
    assert found.trip(TRIP) == Trip(TRIP, TripStatus.ACTIVE, 1, 12, Decimal("199.99"), 12, frozenset(), Decimal("7.5"))
    assert sum(fake.asked.values()) == 2


async def test_404_is_an_answer(fake: FakeNeighbour) -> None:
    nobody, nowhere = UUID(int=404), UUID(int=405)
    async with asking(fake) as neighbours:
        found = await neighbours.surroundings([nowhere], [nobody])
    assert (found.trip(nowhere), found.guest(nobody)) == (Absence.UNKNOWN, Absence.UNKNOWN)
    assert set(fake.asked.values()) == {1}


async def test_a_neighbour_without_an_address_has_no_say(fake: FakeNeighbour) -> None:
    async with aiohttp.ClientSession() as session:
        neither = await Neighbours(session, "", "", LIMITS).surroundings([TRIP], [GUEST])
        catalog = await Neighbours(session, "", fake.url, LIMITS).surroundings([DIVE], [GUEST])
        profiles = await Neighbours(session, fake.url, "", LIMITS).surroundings([DIVE], [GUEST])
    assert neither == Surroundings()
    assert catalog.guests is None
    assert isinstance(catalog.trip(DIVE), Trip)
    assert profiles.trips is None
    assert isinstance(profiles.guest(GUEST), Guest)
    assert not any(path.endswith("certifications") for path in fake.asked)


@pytest.mark.parametrize(
    ("behaviour", "ending", "calls"),
    [
        pytest.param(hang, "timeout", 2, id="answers in ten seconds"),
        pytest.param(dribble, "timeout", 2, id="dribbles"),
        pytest.param(drop, "unreachable", 2, id="drops the connection"),
        pytest.param(says("{}", 500), "failing", 2, id="500"),
        pytest.param(says("{}", 429), "failing", 2, id="429"),
        pytest.param(says("{}", 403), "refused", 1, id="403"),
        pytest.param(says("{}", 302), "refused", 1, id="redirects"),
        pytest.param(flood, "garbage", 1, id="floods"),
        pytest.param(says("<html>"), "garbage", 1, id="no JSON"),
        pytest.param(says(""), "garbage", 1, id="nothing"),
        pytest.param(says("[" * 100_000), "garbage", 1, id="deep"),
        pytest.param(says("[]"), "garbage", 1, id="an array"),
        pytest.param(says('{"status": "ASLEEP"}'), "garbage", 1, id="another status"),
        pytest.param(says('{"status": "ACTIVE", "date_of_birth": 19900615}'), "garbage", 1, id="a number for a date"),
        pytest.param(says(f'{{"status": "ACTIVE", "guest_id": "{OTHER}"}}'), "garbage", 1, id="another guest"),
    ],
)
async def test_bad_behaviour_is_no_answer_and_keeps_the_budget(
    fake: FakeNeighbour, behaviour: Behaviour, ending: str, calls: int
) -> None:
    fake.misbehaves[f"/guests/{GUEST}"] = behaviour
    endings: list[tuple[str, str]] = []
    async with asking(fake, observe=lambda name, how, _: endings.append((name, how))) as neighbours:
        found = await within_budget(neighbours.surroundings([TRIP], [GUEST, OTHER]))
    assert found.guest(GUEST) is Absence.UNAVAILABLE
    assert isinstance(found.guest(OTHER), Guest)
    assert isinstance(found.trip(TRIP), Trip)
    assert endings.count(("guest-profiles", ending)) == calls
    # Where a connection drops, aiohttp sends the same request once more over another one.
    assert fake.asked[f"/guests/{GUEST}"] == (2 * calls if behaviour is drop else calls)
    assert "/guests/elsewhere" not in fake.asked


@pytest.mark.parametrize(
    "changed",
    [
        {"max_participants": "twelve"},
        {"max_participants": 2.5},
        {"base_price": -1},
        {"base_price": 1e300},
        {"base_price": 8_400_000},
        {"base_price": None},
        {"required_certifications": "DIVER"},
        {"id": str(DIVE)},
    ],
)
async def test_a_trip_that_is_not_as_agreed_is_no_answer(fake: FakeNeighbour, changed: dict[str, Any]) -> None:
    fake.answers[f"/trips/{TRIP}"] |= changed
    async with asking(fake) as neighbours:
        assert (await neighbours.surroundings([TRIP], [])).trip(TRIP) is Absence.UNAVAILABLE


async def test_an_answer_of_the_largest_size_is_read(fake: FakeNeighbour) -> None:
    body = json.dumps(fake.answers[f"/guests/{GUEST}"])
    for size, kind in ((MAX_ANSWER_BYTES, Guest), (MAX_ANSWER_BYTES + 1, Absence)):
        fake.misbehaves[f"/guests/{GUEST}"] = says(body.ljust(size))
        async with asking(fake) as neighbours:
            assert isinstance((await neighbours.surroundings([], [GUEST])).guest(GUEST), kind)


async def test_nobody_listening_is_no_answer(unused_tcp_url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for url in (unused_tcp_url, "no address at all", "ftp://127.0.0.1/"):
            found = await within_budget(Neighbours(session, url, url, LIMITS).surroundings([TRIP], [GUEST]))
            assert unavailable(found, TRIP, [GUEST])


async def test_a_closed_session_is_no_answer(fake: FakeNeighbour) -> None:
    async with asking(fake) as neighbours:
        pass
    assert (await neighbours.surroundings([TRIP], [])).trip(TRIP) is Absence.UNAVAILABLE


async def test_headers_that_never_end_keep_the_budget() -> None:
    async def dribble_headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while not writer.is_closing():
                writer.write(b"X-More: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            return
        finally:
            writer.close()

    async with (
        await asyncio.start_server(dribble_headers, "127.0.0.1", 0) as server,
        aiohttp.ClientSession() as session,
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await within_budget(Neighbours(session, url, "", LIMITS).surroundings([], [GUEST]))
    assert found.guest(GUEST) is Absence.UNAVAILABLE


async def test_the_budget_ends_what_is_left_and_keeps_what_is_there(fake: FakeNeighbour) -> None:
    fake.misbehaves[f"/guests/{GUEST}"] = hang
    endings: list[str] = []
    limits = NeighbourLimits(budget_s=0.3, call_timeout_s=60)
    async with asking(fake, limits, observe=lambda _, ending, __: endings.append(ending)) as neighbours:
        found = await within_budget(neighbours.surroundings([TRIP], [GUEST, OTHER]))
        assert found.guest(GUEST) is Absence.UNAVAILABLE
        assert isinstance(found.guest(OTHER), Guest)
        await eventually(abandoned_by(fake))
    assert endings.count("abandoned") == 1


async def test_a_caller_who_gives_up_ends_the_request(fake: FakeNeighbour) -> None:
    fake.misbehaves[f"/guests/{GUEST}"] = hang
    async with asking(fake, NeighbourLimits(call_timeout_s=60, budget_s=60)) as neighbours:
        asked = asyncio.create_task(neighbours.surroundings([], [GUEST]))
        await eventually(was_asked(fake, f"/guests/{GUEST}"))
        asked.cancel()
        await eventually(abandoned_by(fake))
        with pytest.raises(asyncio.CancelledError):
            await asked


async def test_callers_share_a_request_and_one_who_gives_up_leaves_it_to_the_others(fake: FakeNeighbour) -> None:
    opened = asyncio.Event()

    async def answer_later(_: web.Request) -> web.StreamResponse:
        await opened.wait()
        return web.json_response(fake.answers[f"/guests/{GUEST}"])

    fake.misbehaves[f"/guests/{GUEST}"] = answer_later
    async with asking(fake, NeighbourLimits()) as neighbours:
        callers = [asyncio.create_task(neighbours.surroundings([TRIP], [GUEST])) for _ in range(20)]
        await eventually(was_asked(fake, f"/guests/{GUEST}"))
        callers[0].cancel()
        await asyncio.wait(callers[:1])
        opened.set()
        found = await asyncio.gather(*callers[1:])
    assert all(isinstance(each.guest(GUEST), Guest) for each in found)
    assert fake.asked == {f"/guests/{GUEST}": 1, f"/trips/{TRIP}": 1}


async def test_a_request_that_was_given_up_can_be_made_again(fake: FakeNeighbour) -> None:
    fake.misbehaves[f"/guests/{GUEST}"] = hang
    async with asking(fake, NeighbourLimits(budget_s=0.2, call_timeout_s=60)) as neighbours:
        assert (await neighbours.surroundings([], [GUEST])).guest(GUEST) is Absence.UNAVAILABLE
        del fake.misbehaves[f"/guests/{GUEST}"]
        assert isinstance((await neighbours.surroundings([], [GUEST])).guest(GUEST), Guest)


async def test_a_failure_that_passes_is_not_noticed(fake: FakeNeighbour) -> None:
    async def fail_once(request: web.Request) -> web.StreamResponse:
        del fake.misbehaves[request.path]
        return web.Response(status=503)

    fake.misbehaves |= {f"/guests/{GUEST}": fail_once, f"/trips/{TRIP}": fail_once}
    async with asking(fake) as neighbours:
        found = await neighbours.surroundings([TRIP], [GUEST])
    assert not unavailable(found, TRIP, [GUEST])


async def test_answers_are_remembered_for_their_time(fake: FakeNeighbour) -> None:
    now, endings = Now(), list[str]()
    async with asking(fake, clock=now, observe=lambda _, ending, __: endings.append(ending)) as neighbours:
        for later_s, guest_calls, trip_calls in ((0, 1, 1), (9.9, 1, 1), (0.2, 2, 1), (49, 3, 1), (1, 3, 2)):
            now.seconds += later_s
            await neighbours.surroundings([TRIP], [GUEST])
            assert (fake.asked[f"/guests/{GUEST}"], fake.asked[f"/trips/{TRIP}"]) == (guest_calls, trip_calls)
    assert endings.count("remembered") == 5


async def test_an_unknown_trip_is_asked_for_again_as_soon_as_a_guest_is(fake: FakeNeighbour) -> None:
    now, trip = Now(), UUID(int=404)
    async with asking(fake, clock=now) as neighbours:
        for later_s, calls in ((0, 1), (9.9, 1), (0.2, 2)):
            now.seconds += later_s
            assert (await neighbours.surroundings([trip], [])).trip(trip) is Absence.UNKNOWN
            assert fake.asked[f"/trips/{trip}"] == calls


async def test_failures_are_not_remembered(fake: FakeNeighbour) -> None:
    fake.misbehaves[f"/guests/{GUEST}"] = says("garbage")
    async with asking(fake) as neighbours:
        await neighbours.surroundings([], [GUEST])
        del fake.misbehaves[f"/guests/{GUEST}"]
        assert isinstance((await neighbours.surroundings([], [GUEST])).guest(GUEST), Guest)


async def test_what_was_not_used_for_longest_is_forgotten_first(fake: FakeNeighbour) -> None:
    guests = [UUID(int=number) for number in range(100, 103)]
    async with asking(fake, NeighbourLimits(max_guests=2)) as neighbours:
        for guest in (guests[0], guests[1], guests[0], guests[2], guests[0], guests[1]):
            await neighbours.surroundings([], [guest])
    assert [fake.asked[f"/guests/{guest}"] for guest in guests] == [1, 2, 1]


async def test_no_more_calls_than_allowed_are_made_at_a_time(fake: FakeNeighbour) -> None:
    guests, under_way, most = [UUID(int=number) for number in range(100, 140)], 0, 0

    async def count(_: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return web.json_response({"status": "ACTIVE"})

    fake.misbehaves |= {f"/guests/{guest}": count for guest in guests}
    async with asking(fake, NeighbourLimits(max_concurrent=4)) as neighbours:
        found = await neighbours.surroundings([], guests)
    assert all(isinstance(found.guest(guest), Guest) for guest in guests)
    assert most <= 4


async def test_certifications_are_asked_for_only_when_a_trip_requires_any(fake: FakeNeighbour) -> None:
    async with asking(fake) as neighbours:
        await neighbours.surroundings([TRIP], [GUEST, OTHER])
        assert not any(path.endswith("certifications") for path in fake.asked)
        found = await neighbours.surroundings([TRIP, DIVE], [GUEST, OTHER], {DIVE: [GUEST], TRIP: [OTHER]})
        assert fake.asked[f"/guests/{GUEST}/certifications"] == 1
        assert fake.asked[f"/guests/{OTHER}/certifications"] == 0
        assert found.guest(GUEST) == Guest(GUEST, GuestStatus.ACTIVE, date(1990, 6, 15), {"DIVER": None})
        found = await neighbours.surroundings([DIVE], [GUEST, OTHER])
    assert found.guest(OTHER) == Guest(OTHER, GuestStatus.ACTIVE, date(1990, 6, 15), {})


@pytest.mark.parametrize("behaviour", [hang, says("{}", 500), says('{"held": []}')])
async def test_certifications_that_cannot_be_had_are_missed_only_by_who_needs_them(
    fake: FakeNeighbour, behaviour: Behaviour
) -> None:
    fake.misbehaves[f"/guests/{GUEST}/certifications"] = behaviour
    async with asking(fake) as neighbours:
        found = await within_budget(neighbours.surroundings([DIVE, TRIP], [GUEST]))
    assert unavailable(found, DIVE, [GUEST])
    assert not unavailable(found, TRIP, [GUEST])


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        (["A", "B"], {"A": None, "B": None}),
        ([{"certification": "A", "issuer": "x"}, {"type": "B"}], {"A": None, "B": None}),
        ([{"certification_type": "A", "expires_at": "2028-02-29T23:59:59-08:00"}], {"A": date(2028, 2, 29)}),
        ({"certifications": [{"name": "A", "expiry_date": "2028-03-01"}]}, {"A": date(2028, 3, 1)}),
        ({"content": [{"name": "A", "valid_until": None}], "page": 0}, {"A": None}),
        ([{"name": "A", "valid_until": "2027-01-01"}, {"name": "A", "valid_until": "2029-01-01"}, "B"],
         {"A": date(2029, 1, 1), "B": None}),
        ([{"name": "A", "valid_until": "2027-01-01"}, "A"], {"A": None}),
        ([], {}),
        ([{"issuer": "x"}], None),
        ([{"name": "A", "expires_at": "tomorrow"}], None),
        ("A", None),
    ],
)  # fmt: skip
async def test_certifications_are_understood_in_each_of_their_forms(
    fake: FakeNeighbour, answer: object, held: dict[str, date | None] | None
) -> None:
    fake.answers[f"/guests/{GUEST}/certifications"] = answer
    async with asking(fake) as neighbours:
        guest = (await neighbours.surroundings([DIVE], [GUEST])).guest(GUEST)
    assert isinstance(guest, Guest)
    assert guest.certifications == held


def test_the_usual_limits_leave_time_for_every_attempt() -> None:
    limits = NeighbourLimits()
    assert limits.attempts * limits.call_timeout_s < limits.budget_s


@pytest.fixture
async def unused_tcp_url() -> str:
    """Give an address that nobody listens on."""
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
