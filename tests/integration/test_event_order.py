"""Events of a reservation whose changes come by different topics: whoever tells one tells first what came before."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import asyncpg
import orjson
import pytest

from reservations.agents.engine import Engine
from reservations.agents.months import BookableMonths
from reservations.models.commands import COMMANDS as COMMAND_TYPES
from reservations.models.commands import AnyCommand
from reservations.models.eligibility import Surroundings
from reservations.models.payments import PaymentProcessed
from reservations.models.steps import Rules
from reservations.models.topics import BULK_COMMANDS, COMMANDS, PAYMENT_PROCESSED
from reservations.models.worksheet import Outcome
from tests.bookings import a_command, a_held_creation, a_payment, encoded

Told = list[tuple[str, str]]


@dataclass
class Lanes:
    """An engine for each lane, as workers have them. What they say is to be published is not published."""

    engine: Callable[[str], Engine]

    async def command(self, lane: str, *commands: dict[str, Any]) -> Told:
        """Apply commands in one batch of a lane; return what is to be told, in order."""
        return await self._apply(lane, [COMMAND_TYPES.validate_json(encoded(each)) for each in commands])

    async def pay(self, *events: dict[str, Any]) -> Told:
        """Apply payments in one batch of their lane; return what is to be told, in order."""
        read = [PaymentProcessed.model_validate_json(encoded(each)).command() for each in events]
        return await self._apply(PAYMENT_PROCESSED.lane, read)

    async def _apply(self, lane: str, commands: Sequence[AnyCommand]) -> Told:
        return told(await self.engine(lane).apply(commands))


def told(outcomes: Sequence[Outcome]) -> Told:
    """Return the ids and the statuses that outcomes tell of."""
    events = map(orjson.loads, (each.value for each in chain.from_iterable(o.announcements for o in outcomes)))
    return [(each["event_id"], each.get("new_status") or f"created {each['status']}") for each in events]


def statuses(events: Told) -> list[str]:
    """Return the statuses that events tell of."""
    return [status for _, status in events]


@pytest.fixture
async def lanes(database: str) -> AsyncIterator[Lanes]:
    """Give engines on a database of the test's own."""
    async with asyncpg.create_pool(database, min_size=1, max_size=4) as pool:
        months = BookableMonths()
        await months.keep(pool)

        async def look_nowhere(_: object) -> Surroundings:
            return Surroundings()

        yield Lanes(lambda lane: Engine(pool, months, look_nowhere, Rules(), lane=lane))


def a_move(creation: dict[str, Any], target: str) -> dict[str, Any]:
    """Return a command that moves what another one makes."""
    payload = {"target_status": target}
    return a_command("reservation.transition", payload, reservation_id=creation["reservation_id"])


async def test_a_payment_tells_first_that_its_reservation_was_made(lanes: Lanes) -> None:
    creation = a_held_creation()
    made = await lanes.command(COMMANDS.lane, creation)
    paid = await lanes.pay(a_payment(creation["reservation_id"], 400.0))
    assert statuses(paid) == ["created PENDING", "CONFIRMED"]
    assert paid[0] == made[0]


async def test_a_lane_tells_only_what_others_changed_since_it_was_here(lanes: Lanes) -> None:
    creation = a_held_creation()
    await lanes.command(COMMANDS.lane, creation)
    await lanes.pay(a_payment(creation["reservation_id"], 400.0))
    moved = await lanes.command(COMMANDS.lane, a_move(creation, "GEAR_ASSIGNED"), a_move(creation, "CHECKED_IN"))
    assert statuses(moved) == ["CONFIRMED", "GEAR_ASSIGNED", "CHECKED_IN"]
    assert statuses(await lanes.command(COMMANDS.lane, a_move(creation, "IN_PROGRESS"))) == ["IN_PROGRESS"]
    ended = await lanes.command(BULK_COMMANDS.lane, a_move(creation, "COMPLETED"))
    assert statuses(ended) == ["GEAR_ASSIGNED", "CHECKED_IN", "IN_PROGRESS", "COMPLETED"]


async def test_a_payment_that_had_waited_tells_first_of_the_reservation_when_it_is_repeated(lanes: Lanes) -> None:
    creation = a_held_creation()
    payment = a_payment(creation["reservation_id"], 400.0)
    assert await lanes.pay(payment) == []
    made = await lanes.command(COMMANDS.lane, creation)
    assert statuses(made) == ["created PENDING", "CONFIRMED"]
    assert await lanes.pay(payment) == made


async def test_a_repeated_creation_tells_again_what_came_of_the_payments_that_had_waited(lanes: Lanes) -> None:
    creation = a_held_creation()
    payments = [
        a_payment(creation["reservation_id"], 400.0),
        a_payment(creation["reservation_id"], 1.0, currency="EUR"),
    ]
    await lanes.pay(*payments)
    engine, commands = lanes.engine(COMMANDS.lane), [COMMAND_TYPES.validate_json(encoded(creation))]
    (first,), (again,) = await engine.apply(commands), await engine.apply(commands)
    results = [[{**orjson.loads(each.result or ""), "replayed": True} for each in o.released] for o in (first, again)]
    assert {each["command_id"] for each in results[0]} == {each["event_id"] for each in payments}
    assert sorted(each["outcome"] for each in results[0]) == ["applied", "rejected"]
    assert results[0] == results[1]
    assert [each.command for each in first.released] == [each.command for each in again.released]


async def test_a_command_repeated_in_another_lane_tells_first_what_came_before_it(lanes: Lanes) -> None:
    creation = a_held_creation()
    await lanes.command(COMMANDS.lane, creation)
    await lanes.pay(a_payment(creation["reservation_id"], 400.0))
    move, later = a_move(creation, "CHECKED_IN"), a_move(creation, "IN_PROGRESS")
    await lanes.command(COMMANDS.lane, move, later)
    again = await lanes.command(BULK_COMMANDS.lane, move)
    assert statuses(again) == ["created PENDING", "CONFIRMED", "CHECKED_IN"]


async def test_a_change_of_no_status_tells_nothing(lanes: Lanes) -> None:
    creation = a_held_creation()
    await lanes.command(COMMANDS.lane, creation)
    update = a_command("reservation.update", {"party_size": 3}, reservation_id=creation["reservation_id"])
    assert await lanes.command(BULK_COMMANDS.lane, update) == []


async def test_lanes_at_work_at_once_leave_no_gap(lanes: Lanes) -> None:
    creations = [a_held_creation() for _ in range(20)]
    await lanes.command(COMMANDS.lane, *creations)
    payments = [a_payment(each["reservation_id"], 400.0) for each in creations]
    moves = [a_move(each, "CANCELLED") for each in creations]
    paid, moved = await asyncio.gather(lanes.pay(*payments), lanes.command(BULK_COMMANDS.lane, *moves))
    created = set(await lanes.command(COMMANDS.lane, *creations))
    assert created <= set(paid) | set(moved)
