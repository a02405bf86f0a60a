"""The simulated guest profiles and trip catalog: the same answers each time, understood by the service's client."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from reservations.agents.neighbours import NeighbourLimits, Neighbours
from reservations.app.serving import serving
from reservations.app.stack.home import free_port
from reservations.app.stack.neighbours import SPECIAL_GUESTS, SPECIAL_TRIPS, Simulation, guest_id, markdown, trip_id
from reservations.models.eligibility import (
    Absence,
    Guest,
    GuestStatus,
    Requirement,
    Trip,
    TripStatus,
    age_on,
    failed_requirements,
    price,
    unavailable,
)
from tests.conditions import eventually

TODAY = datetime.now(UTC).date()
NEXT_MONTH = TODAY + timedelta(days=30)
STOP_LIMIT_S = 3
GUEST, TRIP = UUID("4f5e7b0a-52c7-4f6e-9d0f-0b8f6d1c2a3b"), UUID("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d")
DIVING, ADULT = trip_id(5), trip_id(6)


@pytest.fixture
async def neighbours() -> AsyncIterator[Neighbours]:
    """Give a client of a simulation."""
    async with (
        serving(Simulation().application(), "127.0.0.1", 0, stop_deadline_s=0.1) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Neighbours(session, f"{url}/guest-profiles", f"{url}/trip-catalog", NeighbourLimits())


async def failures(neighbours: Neighbours, guest: UUID, trip: UUID, party_size: int = 1) -> list[Requirement]:
    """Return the requirements that a booking fails."""
    found = await neighbours.surroundings([trip], [guest])
    assert not unavailable(found, trip, [guest])
    failed = failed_requirements(
        found,
        trip_id=trip,
        trip_date=NEXT_MONTH,
        party_size=party_size,
        booker=guest,
        party=(),
        today=TODAY,
        booking_window_days=365,
    )
    return [failure.requirement for failure in failed]


async def test_any_guest_may_go_on_any_trip(neighbours: Neighbours) -> None:
    guests, trips = [uuid4() for _ in range(20)], [uuid4() for _ in range(20)]
    found = await neighbours.surroundings(trips, guests)
    for asked_guest, asked_trip in zip(guests, trips, strict=True):
        guest, trip = found.guest(asked_guest), found.trip(asked_trip)
        assert isinstance(guest, Guest)
        assert isinstance(trip, Trip)
        assert (guest.status, trip.status) == (GuestStatus.ACTIVE, TripStatus.ACTIVE)
        assert guest.date_of_birth is not None
        assert age_on(TODAY, guest.date_of_birth) >= 18
        assert (trip.min_participants, trip.max_participants) == (1, 12)
        assert Decimal("99.00") <= trip.base_price == round(trip.base_price, 2) <= Decimal("499.00")
        assert await failures(neighbours, asked_guest, asked_trip, party_size=12) == []
    assert len({trip.base_price for trip in (found.trips or {}).values() if isinstance(trip, Trip)}) > 10


@pytest.mark.parametrize(
    ("guest", "trip", "party_size", "expected"),
    [
        (guest_id(0), TRIP, 1, Requirement.GUEST_EXISTS),
        (guest_id(1), TRIP, 1, Requirement.GUEST_ACTIVE),
        (guest_id(2), TRIP, 1, Requirement.GUEST_ACTIVE),
        (guest_id(3), ADULT, 1, Requirement.AGE_MINIMUM),
        (guest_id(4), DIVING, 1, Requirement.CERTIFICATION),
        (guest_id(5), DIVING, 1, Requirement.CERTIFICATION),
        (guest_id(6), ADULT, 1, Requirement.AGE_MINIMUM),
        (GUEST, trip_id(0), 1, Requirement.TRIP_EXISTS),
        (GUEST, trip_id(1), 1, Requirement.TRIP_ACTIVE),
        (GUEST, trip_id(2), 1, Requirement.TRIP_ACTIVE),
        (GUEST, trip_id(3), 1, Requirement.TRIP_ACTIVE),
        (GUEST, trip_id(4), 2, Requirement.PARTY_MAXIMUM),
        (GUEST, trip_id(7), 3, Requirement.PARTY_MINIMUM),
        (guest_id(3), TRIP, 1, None),
        (guest_id(4), TRIP, 1, None),
        (guest_id(6), TRIP, 1, None),
        (GUEST, trip_id(4), 1, None),
        (GUEST, DIVING, 1, None),
        (GUEST, ADULT, 1, None),
        (GUEST, trip_id(7), 4, None),
    ],
)
async def test_special_ids_do_what_the_table_says(
    neighbours: Neighbours, guest: UUID, trip: UUID, party_size: int, expected: Requirement | None
) -> None:
    assert await failures(neighbours, guest, trip, party_size) == ([expected] if expected else [])
    told = {special.id: special.outcome for special in SPECIAL_GUESTS + SPECIAL_TRIPS}
    assert expected is None or any(expected in told.get(key, "") for key in (guest, trip))


async def test_a_trip_has_exactly_the_price_that_the_table_says(neighbours: Neighbours) -> None:
    trip = (await neighbours.surroundings([trip_id(8)], [])).trip(trip_id(8))
    assert isinstance(trip, Trip)
    assert price(trip, 2) == Decimal("398.00")


async def test_neighbours_that_fail_can_be_seen(neighbours: Neighbours) -> None:
    found = await neighbours.surroundings([trip_id(9)], [guest_id(7)])
    assert (found.trip(trip_id(9)), found.guest(guest_id(7))) == (Absence.UNAVAILABLE, Absence.UNAVAILABLE)


def test_answers_follow_from_the_id_alone() -> None:
    at_first, later = Simulation(lambda: date(2027, 1, 1)), Simulation(lambda: date(2029, 1, 1))
    assert at_first.guest(GUEST) == later.guest(GUEST)
    assert at_first.trip(TRIP) == later.trip(TRIP)
    assert at_first.guest(GUEST)["date_of_birth"] == "1991-12-30"
    assert at_first.trip(TRIP)["base_price"] == 474.25
    assert later.guest(guest_id(3))["date_of_birth"] == "2019-01-01"


def test_the_table_lists_every_special_id_once() -> None:
    lines = markdown().splitlines()
    specials = SPECIAL_GUESTS + SPECIAL_TRIPS
    assert len({special.id for special in specials}) == len(specials) == len(lines) - 2
    assert all(line.count("|") == 4 for line in lines)
    assert "| `00000000-0000-4000-9000-000000000008` | Trip for 199.00 USD a participant | Two pay 398.00 |" in lines


@pytest.fixture
def process() -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Give the simulation as a process of its own, and its address."""
    port = free_port()
    command = [sys.executable, "-m", "reservations.app.stack.neighbours", "--port", str(port)]
    with subprocess.Popen(command) as started:
        yield started, f"http://127.0.0.1:{port}"
        started.kill()


async def test_as_a_process_it_answers_as_the_contract_says_and_ends_at_once(
    process: tuple["subprocess.Popen[bytes]", str],
) -> None:
    popen, url = process
    async with aiohttp.ClientSession() as session:

        async def ask(path: str) -> tuple[int, Any]:
            try:
                async with session.get(url + path) as response:
                    return response.status, json.loads(await response.text())
            except aiohttp.ClientConnectionError:
                return 0, None

        async def is_ready() -> bool:
            return (await ask("/health/ready"))[0] == 200

        await eventually(is_ready)
        status, guest = await ask(f"/guest-profiles/guests/{GUEST}")
        assert (status, guest["guest_id"]) == (200, str(GUEST))
        assert guest.keys() == {"guest_id", "status", "date_of_birth", "emergency_contact"}
        assert (await ask("/guest-profiles/guests/nobody"))[0] == 400
        assert (await ask(f"/guest-profiles/guests/{guest_id(0)}"))[0] == 404
    began = monotonic()
    popen.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(popen.wait, STOP_LIMIT_S) == 0
    assert monotonic() - began < 5
