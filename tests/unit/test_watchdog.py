"""What the watchdog takes for being stuck, tick by tick; no broker, and no time passes."""

import asyncio
from collections.abc import Mapping

import pytest
from faust.types import TP

from reservations.agents.guard import LoopGuard
from reservations.agents.watchdog import Sight, Stuck, Watchdog, Work
from reservations.agents.watching import Peek, Watch

LIMIT_S = 6
FIRST, SECOND = TP("commands", 0), TP("commands", 1)


def busy(sign: object, offset: int = 7) -> Sight:
    """Return the sight of a lane with a message in work."""
    return Sight({"commands": Work(FIRST, offset, sign)})


def answering(*unread: TP) -> Peek:
    """Return a broker that has something to read in these partitions."""

    async def peek(_: Mapping[TP, int]) -> set[TP]:
        return set(unread)

    return peek


async def silent(_: Mapping[TP, int]) -> None:
    """Answer nothing, as a broker that is away."""


class Run:
    """A watch over a worker that is seen as the test says."""

    def __init__(self, peek: Peek) -> None:
        self.watchdog = Watchdog(LIMIT_S)
        self.sight = Sight()
        self._watch = Watch(self.watchdog, lambda: self.sight, peek)

    async def sees(self, *sights: Sight) -> Stuck | None:
        """Show one sight a tick; return where the worker is said to be stuck, if it ever is."""
        for self.sight in sights:
            stuck = self._watch.tick()
            if stuck:
                return stuck
            for _ in range(3):
                await asyncio.sleep(0)
        return None


async def test_a_lane_without_a_sign_of_life_is_stuck() -> None:
    assert await Run(answering()).sees(*[busy(1)] * LIMIT_S) is None
    assert await Run(answering()).sees(*[busy(1)] * (LIMIT_S + 1)) == Stuck("in work", FIRST, 7, LIMIT_S)


@pytest.mark.parametrize(
    "sights",
    [
        pytest.param([busy(n // LIMIT_S) for n in range(40)], id="acknowledges or tries again now and then"),
        pytest.param([busy(0), Sight()] * 20, id="has nothing in work in between"),
        pytest.param([Sight()] * 40, id="holds no partition"),
        pytest.param([Sight(positions={FIRST: 9})] * 40, id="has nothing to read"),
    ],
)
async def test_a_lane_is_not_stuck_that(sights: list[Sight]) -> None:
    assert await Run(answering()).sees(*sights) is None


async def test_a_lane_is_not_stuck_while_the_broker_does_not_answer() -> None:
    assert await Run(silent).sees(*[busy(1)] * 40) is None


async def test_a_message_nobody_reads_is_found_by_looking_for_it() -> None:
    idle = Sight(positions={FIRST: 3, SECOND: 9})
    run = Run(answering(SECOND))
    assert await run.sees(*[idle] * LIMIT_S) is None
    assert await run.sees(*[idle] * 4) == Stuck("not read", SECOND, 9, LIMIT_S)
    assert run.watchdog.seconds == LIMIT_S


async def test_a_message_that_is_read_late_is_no_reason() -> None:
    sights = [Sight(positions={FIRST: n // LIMIT_S}) for n in range(40)]
    assert await Run(answering(FIRST)).sees(*sights) is None


async def test_an_unread_message_counts_from_when_it_was_found_not_from_when_the_position_last_moved() -> None:
    run, idle = Run(answering()), Sight(positions={FIRST: 3})
    await run.sees(*[idle] * 40)
    run.watchdog.see(idle)
    run.watchdog.learn({FIRST: 3}, {FIRST})
    for _ in range(LIMIT_S):
        run.watchdog.see(idle)
        assert run.watchdog.stuck() is None
    run.watchdog.see(idle)
    assert run.watchdog.stuck() == Stuck("not read", FIRST, 3, LIMIT_S)


async def test_a_moving_partition_is_not_asked_about_and_an_idle_one_now_and_then() -> None:
    asked: list[Mapping[TP, int]] = []

    async def peek(positions: Mapping[TP, int]) -> set[TP]:
        asked.append(positions)
        return set()

    watchdog = Watchdog(60)
    watch = Watch(watchdog, lambda: Sight(positions={FIRST: next(moving), SECOND: 5}), peek)
    moving = iter(range(100))
    for _ in range(41):
        watch.tick()
        await asyncio.sleep(0)
    assert asked == [{SECOND: 5}] * 4


async def test_nothing_is_decided_while_a_question_is_open() -> None:
    answer = asyncio.Event()

    async def slow(_: Mapping[TP, int]) -> set[TP]:
        await answer.wait()
        return set()

    run = Run(slow)
    assert await run.sees(*[busy(1)] * 20) is None
    answer.set()
    await asyncio.sleep(0)
    assert await run.sees(busy(1)) == Stuck("in work", FIRST, 7, 20)


def test_a_blocked_loop_ends_the_process_and_a_turning_one_does_not() -> None:
    ends: list[str] = []
    guard = LoopGuard(3, ends.append)
    for _ in range(3):
        guard.tick()
    guard._beats += 1
    for _ in range(3):
        guard.tick()
    assert ends == []
    guard.tick()
    assert ends == ["The event loop was blocked for 3 s."]


def test_an_end_that_takes_too_long_is_made_short() -> None:
    ends: list[str] = []
    guard = LoopGuard(3, ends.append)
    guard.end_within(5)
    for _ in range(5):
        guard._beats += 1
        guard.tick()
    assert ends == []
    guard.tick()
    assert "The process did not end in time." in ends
