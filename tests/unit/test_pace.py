"""A lane for imports leaves the way to the lanes of callers who wait, for as long as there are any."""

import asyncio

import pytest

from reservations.agents import pace
from reservations.agents.pace import A_FEW, IN_USE_S, LONGEST_REST_S, REST_FACTOR, GivingWay, Pace
from reservations.agents.turns import MESSAGES_PER_TURN, in_turns

MOST = 200


class Clock:
    """A clock that goes on only when it is told to, or somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, duration_s: float) -> None:
        """Sleep without waiting."""
        self.slept.append(round(duration_s, 3))
        self.now += duration_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put the paces under a clock of the test's own."""
    clock = Clock()
    monkeypatch.setattr(pace, "monotonic", clock)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


@pytest.fixture
def callers() -> Pace:
    """Give the pace of the lane of callers who wait."""
    return Pace(MOST)


@pytest.fixture
def imports(callers: Pace) -> GivingWay:
    """Give the pace of the lane that gives way to it."""
    return GivingWay(MOST, [callers])


async def test_a_lane_alone_takes_all_that_waits_and_does_not_rest(clock: Clock, imports: GivingWay) -> None:
    assert imports.take() == MOST
    clock.now += 0.1
    await imports.rest()
    assert clock.slept == []


async def test_beside_callers_it_takes_a_few_and_rests_longer_than_it_worked(
    clock: Clock, callers: Pace, imports: GivingWay
) -> None:
    assert callers.take() == MOST
    assert imports.take() == A_FEW
    clock.now += 0.02
    await imports.rest()
    assert clock.slept == [0.02 * REST_FACTOR]


async def test_it_never_rests_for_long(clock: Clock, callers: Pace, imports: GivingWay) -> None:
    imports.take()
    clock.now += 60
    callers.take()
    await imports.rest()
    assert clock.slept == [LONGEST_REST_S]


async def test_when_the_callers_are_gone_it_takes_all_again(clock: Clock, callers: Pace, imports: GivingWay) -> None:
    callers.take()
    clock.now += IN_USE_S
    assert imports.take() == MOST
    await imports.rest()
    assert clock.slept == []


async def test_those_who_go_first_never_rest(clock: Clock, callers: Pace, imports: GivingWay) -> None:
    imports.take()
    assert callers.take() == MOST
    clock.now += 0.1
    await callers.rest()
    assert clock.slept == []


async def test_others_have_their_turn_while_much_is_done() -> None:
    done: list[int] = []
    seen: list[int] = []

    async def watch() -> None:
        while len(done) < 5 * MESSAGES_PER_TURN:
            seen.append(len(done))
            await asyncio.sleep(0)

    def act(number: int) -> int:
        done.append(number)
        return -number

    numbers = range(5 * MESSAGES_PER_TURN)
    made, _ = await asyncio.gather(in_turns(act, numbers), watch())
    assert made == [-number for number in numbers]
    assert seen == [turn * MESSAGES_PER_TURN for turn in range(1, 5)]
