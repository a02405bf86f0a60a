"""The checks of the fault harness find nothing in a round where nothing went wrong, and each finds a lie."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conditions import eventually
from tests.databases import Connection, execute, scratch_database
from tests.faults import checker, ground
from tests.faults.checker import Violation
from tests.integration.honest_round import a_round, play
from tests.servers import Server

LIES = Path(checker.__file__).with_name("lies.sql")
DEADLOCK = "two transactions waited for each other in a circle"
TELL_AGAIN = """INSERT INTO faults.message SELECT topic, partition, position + 1000, at, key, value, headers, {body}
                FROM faults.message WHERE topic = 'status-changed'"""


@dataclass(frozen=True)
class Lie:
    """Statements that make an honest history break a promise, and every promise that it breaks then."""

    promise: str
    statements: str

    @property
    def breaks(self) -> set[str]:
        """Return the promises."""
        return {self.promise, *re.findall(r"^-- also: (.+)$", self.statements, flags=re.MULTILINE)}


def lies() -> list[Lie]:
    """Return the lies, in order."""
    parts = re.split(r"^-- name: (.+)$", LIES.read_text(), flags=re.MULTILINE)[1:]
    return [Lie(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


@pytest.fixture(scope="module")
async def ledger_template(postgres: Server, template: str) -> AsyncIterator[str]:
    """Give the name of a migrated database with an empty ledger."""
    async with scratch_database(postgres.address, template) as address:
        await execute(address, ground.LEDGER.read_text())
        yield urlsplit(address).path[1:]


@pytest.fixture(scope="module")
async def played(
    postgres: Server, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Connection]:
    """Give a connection to a database with an honest history; whoever changes it rolls that back."""
    folder = tmp_path_factory.mktemp("round")
    async with scratch_database(postgres.address, ledger_template) as address, a_round(address, folder) as this:
        await play(this)
        await this.write()
        yield this.connection


@pytest.fixture
async def history(played: Connection) -> AsyncIterator[Connection]:
    """Give an honest history that may be changed, past all triggers and foreign keys."""
    change = played.transaction()
    await change.start()
    await played.execute("SET LOCAL session_replication_role = replica")
    yield played
    await change.rollback()


@pytest.fixture
async def blank(postgres: Server, ledger_template: str) -> AsyncIterator[str]:
    """Give the address of a database of the test's own, in which nothing has happened."""
    async with scratch_database(postgres.address, ledger_template) as address:
        yield address


@asynccontextmanager
async def opened(address: str, count: int = 1) -> AsyncIterator[list[Connection]]:
    """Give connections to a database."""
    connections = [await asyncpg.connect(address) for _ in range(count)]
    try:
        yield connections
    finally:
        for each in connections:
            await each.close()


def promises(found: list[Violation]) -> set[str]:
    """Return which promises were broken."""
    return {each.promise for each in found}


def test_every_check_has_a_lie() -> None:
    assert {lie.promise for lie in lies()} | {DEADLOCK} == set(checker.checks())


async def test_nothing_is_found_where_nothing_happened(blank: str) -> None:
    async with opened(blank) as (connection,):
        assert await checker.violations(connection) == []


async def test_nothing_is_found_in_an_honest_history(played: Connection) -> None:
    assert await checker.violations(played) == []


@pytest.mark.parametrize("lie", [pytest.param(lie, id=lie.promise) for lie in lies()])
async def test_a_lie_is_found(history: Connection, lie: Lie) -> None:
    await history.execute(lie.statements)
    assert promises(await checker.broken(history)) == lie.breaks


async def test_a_deadlock_is_found(blank: str) -> None:
    async with opened(blank, 2) as pair:
        await provoke_a_deadlock(*pair)
    async with opened(blank) as (connection,):

        async def found() -> set[str]:
            return promises(await checker.broken(connection))

        assert await eventually(found) == {DEADLOCK}


async def provoke_a_deadlock(one: Connection, other: Connection) -> None:
    """Let two transactions wait for each other until the server ends one of them."""
    lock = "SELECT pg_advisory_xact_lock({})".format
    for number, connection in enumerate((one, other)):
        await connection.execute(f"SET deadlock_timeout = '10ms'; BEGIN; {lock(number)}")
    ended = await asyncio.gather(one.execute(lock(1)), other.execute(lock(0)), return_exceptions=True)
    assert [type(each) for each in ended if isinstance(each, Exception)] == [asyncpg.DeadlockDetectedError]


@pytest.fixture
async def kept(history: Connection) -> Connection:
    """Give an honest history of which everything is kept."""
    await checker.keep(history)
    return history


async def test_no_change_is_found_where_nothing_changed_since_it_was_kept(kept: Connection) -> None:
    assert await checker.changed_since_kept(kept) == []


@pytest.mark.parametrize("table", checker.TABLES)
async def test_a_row_that_is_gone_since_it_was_kept_is_found(kept: Connection, table: str) -> None:
    await kept.execute(f"DELETE FROM reservations.{table}")  # noqa: S608
    assert promises(await checker.changed_since_kept(kept)) == {f"reading the log again changed {table}"}


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("reservations", "updated_at = updated_at + interval '1 microsecond'"),
        ("participants", "waiver_signed = true"),
        ("status_history", "reason = 'rewritten'"),
        ("inbox", "processed_at = processed_at + interval '1 microsecond'"),
        ("trip_slots", "capacity = 100"),
        ("guest_days", "trip_date = trip_date + 1"),
    ],
)
async def test_a_row_that_changed_since_it_was_kept_is_found(kept: Connection, table: str, change: str) -> None:
    await kept.execute(f"UPDATE reservations.{table} SET {change}")  # noqa: S608
    assert promises(await checker.changed_since_kept(kept)) == {f"reading the log again changed {table}"}


async def test_a_row_that_is_there_twice_since_it_was_kept_is_found(kept: Connection) -> None:
    await kept.execute("ALTER TABLE reservations.guest_days DROP CONSTRAINT guest_days_pkey")
    await kept.execute("INSERT INTO reservations.guest_days SELECT * FROM reservations.guest_days LIMIT 1")
    assert promises(await checker.changed_since_kept(kept)) == {"reading the log again changed guest_days"}


async def test_an_event_told_again_is_not_new(kept: Connection) -> None:
    await kept.execute(TELL_AGAIN.format(body="body"))
    assert await checker.changed_since_kept(kept) == []


async def test_an_event_that_was_not_told_when_all_was_kept_is_found(kept: Connection) -> None:
    await kept.execute(TELL_AGAIN.format(body="body || jsonb_build_object('event_id', gen_random_uuid())"))
    assert promises(await checker.changed_since_kept(kept)) == {"reading the log again told something new"}
