"""The benchmark's judge finds a run right that was right, and names what is wrong with one that was not."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.bench.arena import Arena
from tests.bench.contestants import OURS
from tests.bench.verdict import judge
from tests.bench.workload import Workload, drain
from tests.conftest import prefix, quirks
from tests.databases import execute, scratch_database
from tests.servers import Servers
from tests.service import complete

COMMANDS = 50
SEED_WITH_POISON = 8

ONE = "(SELECT reservation_id FROM reservations.reservations ORDER BY reservation_id LIMIT 1)"
TRIP = "(SELECT trip_id FROM reservations.trip_slots WHERE taken > 0 ORDER BY trip_id LIMIT 1)"
UNTOLD = """
INSERT INTO reservations.status_history (history_id, reservation_id, old_status, new_status, changed_by)
SELECT reservations.uuid7_floor(reservations.uuid7_time({one})), {one}, 'confirmed', 'checked_in', 'nobody'
"""

Run = tuple[Arena, Workload]


@pytest.fixture(scope="module")
async def done(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """Give a tiny workload that the service has done, and where it did it."""
    work = drain(COMMANDS, SEED_WITH_POISON)
    async with scratch_database(servers.database_url, template) as address:
        folder = tmp_path_factory.mktemp("bench")
        arena = Arena(address, servers.kafka_bootstrap_servers, prefix(), folder, quirks(servers))
        await complete("topics", arena.variables())
        await arena.fill(work)
        await OURS.work(arena, work)
        yield arena, work


@pytest.fixture
async def copy(servers: Servers, done: Run) -> AsyncIterator[Run]:
    """Give the same with a copy of its database, to be tampered with."""
    arena, work = done
    async with scratch_database(servers.database_url, urlsplit(arena.database_url).path[1:]) as address:
        yield replace(arena, database_url=address), work


async def test_what_the_service_did_is_right(done: Run) -> None:
    arena, work = done
    assert work.poison, "the seed draws no poison"
    assert len(work.messages) > COMMANDS + work.poison, "the seed draws no duplicate"

    verdict = await judge(arena, work)

    assert verdict.wrongs == ()
    assert verdict.effects == COMMANDS
    assert verdict.per_second > 0


@pytest.mark.parametrize(
    ("lie", "named"),
    [
        ("DELETE FROM reservations.participants WHERE role = 'guest' AND reservation_id = {one}", "99 participants"),
        ("DELETE FROM reservations.status_history WHERE reservation_id = {one}", "1 events tell of no change"),
        ("UPDATE reservations.reservations SET _rev = 2 WHERE reservation_id = {one}", "51 revisions"),
        ("UPDATE reservations.trip_slots SET taken = taken + 1 WHERE trip_id = {trip}", "101 seats"),
        ("DELETE FROM reservations.inbox WHERE reservation_id = {one}", "1 commands are lost"),
        ("DELETE FROM reservations.inbox", "50 commands are lost"),
        (UNTOLD, "1 changes are not told of"),
    ],
)
async def test_a_wrong_row_is_named(copy: Run, lie: str, named: str) -> None:
    arena, work = copy
    await execute(arena.database_url, lie.format(one=ONE, trip=TRIP))

    verdict = await judge(arena, work)

    assert any(wrong.startswith(named) for wrong in verdict.wrongs), verdict.wrongs


async def test_a_lost_message_is_named(done: Run) -> None:
    arena, work = done
    more = replace(work, poison=work.poison + 1, effects=work.effects | {uuid4()})

    verdict = await judge(arena, more)

    assert verdict.wrongs == ("1 commands are lost", "1 unreadable messages are lost")


async def test_where_nothing_was_done_nothing_is_right(servers: Servers, database: str, tmp_path: Path) -> None:
    arena = Arena(database, servers.kafka_bootstrap_servers, prefix(), tmp_path, quirks(servers))
    await complete("topics", arena.variables())

    assert (await judge(arena, drain(1, SEED_WITH_POISON))).wrongs == ("nothing was told",)
