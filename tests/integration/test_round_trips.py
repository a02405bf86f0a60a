"""Statements share a round trip; a write that finds a row no longer as it was read undoes all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import pytest

from reservations.models.worksheet import Entry
from reservations.tables import guest_days, inbox
from reservations.tables.database import StaleWriteError
from reservations.tables.round_trips import Write, read_at_once, write_at_once
from tests.conditions import eventually
from tests.databases import Connection

DAY = date(2027, 5, 1)


def claims(count: int) -> list[tuple[tuple[UUID, date], UUID]]:
    """Return days of so many guests."""
    return sorted((((uuid4(), DAY), uuid4()) for _ in range(count)), key=lambda claim: claim[0])


def entries(count: int) -> list[Entry]:
    """Return so many handled messages."""
    return [Entry(uuid4(), "reservation.create", None, uuid4(), '{"outcome": "applied"}') for _ in range(count)]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """Give a connection to a migrated database."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def count(connection: Connection, table: str) -> int:
    """Return how many rows a table has."""
    counted: int = await connection.fetchval(f"SELECT count(*) FROM reservations.{table}")  # noqa: S608
    return counted


async def test_each_write_gets_its_own_arguments(connection: Connection) -> None:
    days, handled = claims(3), entries(2)
    await write_at_once(connection, (guest_days.claim(days), None, inbox.insert(handled)))
    held, seen = await read_at_once(
        connection, guest_days.held([day for day, _ in days]), inbox.of_messages([each.message_id for each in handled])
    )
    assert held == dict(days)
    assert {key: each.fingerprint for key, each in seen.items()} == {
        each.message_id: each.fingerprint for each in handled
    }


async def test_nothing_to_write_asks_nothing(connection: Connection) -> None:
    await connection.close()
    await write_at_once(connection, (None, None))


async def test_a_row_that_is_gone_undoes_what_was_written_beside_it(
    connection: Connection,
) -> None:
    there, gone = entries(2)
    await write_at_once(connection, (inbox.insert([there]),))
    with pytest.raises(StaleWriteError, match=r"0 of 1 rows by inbox\.answer"):
        async with connection.transaction():
            await write_at_once(connection, (guest_days.claim(claims(1)), inbox.answer([gone])))
    assert (await count(connection, "guest_days"), await count(connection, "inbox")) == (0, 1)


async def test_a_statement_with_ten_arguments_and_more_is_told_from_the_next(
    connection: Connection,
) -> None:
    await connection.execute("CREATE TEMPORARY TABLE wide (a int, b int, j int, k int)")
    columns = "$1::int, $2::int, $10::int, $11::int"
    between = " AND ".join(f"${place}::int > 0" for place in range(3, 10))
    wide = Write("wide", f"INSERT INTO wide SELECT {columns} WHERE {between}", range(11), 1)
    narrow = Write("narrow", "INSERT INTO wide VALUES ($1, $2, $1, $2)", (70, 71), 1)
    await write_at_once(connection, (wide, narrow))
    rows = await connection.fetch("SELECT * FROM wide ORDER BY a")
    assert [tuple(row) for row in rows] == [(0, 1, 9, 10), (70, 71, 70, 71)]


async def test_each_read_gets_its_own_arguments_and_rows(connection: Connection) -> None:
    days, handled = claims(3), entries(2)
    await write_at_once(connection, (guest_days.claim(days), inbox.insert(handled)))
    (some, *_), (one, _) = days, handled
    held, seen = await read_at_once(connection, guest_days.held([some[0]]), inbox.of_messages([one.message_id]))
    assert (held, list(seen)) == (dict([some]), [one.message_id])


async def test_what_is_not_needed_is_not_read(connection: Connection) -> None:
    await connection.close()
    assert await read_at_once(connection, guest_days.held([]), inbox.waiting_for([])) == ({}, {})


async def test_statements_sent_together_wait_in_their_order(connection: Connection, database: str) -> None:
    (day, holder), (entry,) = claims(1)[0], entries(1)
    other, observer = await asyncpg.connect(database), await asyncpg.connect(database)
    locked = other.transaction()
    await locked.start()
    await write_at_once(other, (guest_days.claim([(day, uuid4())]),))
    waiting = asyncio.create_task(_write(connection, (guest_days.claim([(day, holder)]), inbox.insert([entry]))))
    await eventually(partial(_waits, observer, connection.get_server_pid()))
    # Whoever is waited for can write what comes later without waiting itself.
    await other.execute("SET LOCAL lock_timeout = '2s'")
    await write_at_once(other, (inbox.insert([entry]),))
    await locked.commit()
    with pytest.raises(asyncpg.UniqueViolationError):
        await waiting
    await other.close()
    await observer.close()


async def _write(connection: Connection, writes: Sequence[Write | None]) -> None:
    async with connection.transaction():
        await write_at_once(connection, writes)


async def _waits(observer: Connection, pid: int) -> bool:
    return bool(await observer.fetchval("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid))
