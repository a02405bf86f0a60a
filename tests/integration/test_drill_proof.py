"""The proof of the drill notices everything that is lost, too much or out of step."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

from reservations.app.drill.ledger import Ledger
from reservations.app.drill.load import a_booking, an_engine, perform
from reservations.app.drill.proof import differences
from reservations.app.drill.resending import resend

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

#: What is done to the database, and what the proof says of it.
LIES = {
    "DELETE FROM reservations.status_history WHERE history_id = (SELECT min(history_id::text)::uuid FROM "
    "reservations.status_history)": "1 bookings whose history does not lead to their status",
    "DELETE FROM reservations.inbox WHERE message_id = (SELECT min(message_id::text)::uuid FROM reservations.inbox)": (
        "1 answers in the inbox missing"
    ),
    "UPDATE reservations.inbox SET outcome = (replace(outcome::text, 'CONFIRMED', 'PENDING'))::json": (
        "4 answers in the inbox that differ"
    ),
    "UPDATE reservations.reservations SET _rev = 2": "4 bookings whose revisions have a gap",
    "UPDATE reservations.reservations SET party_size = 4": "4 bookings that differ",
    "UPDATE reservations.reservations SET status = 'checked_in'": (
        "4 bookings whose history does not lead to their status"
    ),
    "UPDATE reservations.trip_slots SET taken = taken + 1": "trip dates whose seats do not balance",
    "DELETE FROM reservations.guest_days": "4 guest days that are not those of active bookings",
}


@pytest.fixture
async def pool(database: str) -> AsyncIterator["AnyPool"]:
    """Give a pool over the test's database, as its owner."""
    async with asyncpg.create_pool(database, min_size=0, max_size=2) as pool:
        yield pool


async def a_ledger(pool: "AnyPool") -> Ledger:
    """Book four times; return what was sent and answered."""
    ledger = Ledger()
    await perform(await an_engine(pool), ledger, [a_booking(number) for number in range(4)])
    return ledger


async def found(pool: "AnyPool", ledger: Ledger, count: int | None = None) -> list[str]:
    """Return what differs from the first so many entries of a ledger."""
    async with pool.acquire() as connection:
        return await differences(connection, ledger.answered[:count])


async def test_nothing_differs_where_all_is_there_and_no_more(pool: "AnyPool") -> None:
    assert await found(pool, await a_ledger(pool)) == []


@pytest.mark.parametrize("lie", LIES)
async def test_what_was_changed_is_noticed(pool: "AnyPool", lie: str) -> None:
    ledger = await a_ledger(pool)
    await pool.execute(lie)
    assert any(LIES[lie] in line for line in await found(pool, ledger))


async def test_what_came_after_the_moment_is_too_much(pool: "AnyPool") -> None:
    said = await found(pool, await a_ledger(pool), 3)
    assert [line.split(":")[0] for line in said] == ["1 bookings too many", "1 answers in the inbox too many"]


async def test_what_was_restored_answers_and_what_was_lost_takes_effect_when_it_is_sent_again(pool: "AnyPool") -> None:
    ledger, lost = await a_ledger(pool), a_booking(1)
    resent = await resend(await an_engine(pool), ledger.answered, [], [])
    assert (resent.replayed, resent.applied, resent.differences) == (4, 0, [])
    later = Ledger()
    later.send([lost])
    resent = await resend(await an_engine(pool), [], [], later.unanswered)
    assert (resent.replayed, resent.applied, resent.differences) == (0, 1, [])


async def test_a_lost_command_that_is_answered_as_a_replay_is_noticed(pool: "AnyPool") -> None:
    ledger = await a_ledger(pool)
    resent = await resend(await an_engine(pool), [], ledger.answered, [])
    assert len(resent.differences) == 4
    assert all("as if it had been restored" in line for line in resent.differences)


async def test_a_restored_command_that_takes_effect_again_is_noticed(pool: "AnyPool") -> None:
    ledger = await a_ledger(pool)
    await pool.execute("DELETE FROM reservations.inbox")
    resent = await resend(await an_engine(pool), ledger.answered, [], [])
    assert len(resent.differences) == 4
