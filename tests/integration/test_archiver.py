"""What is asked of PostgreSQL's archiver, and the mark that is left for it."""

import pytest

from reservations.tables import archiver
from tests.databases import Connection

POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


async def test_a_server_that_does_not_archive_says_so(connection: Connection) -> None:
    told = await archiver.read(connection)
    assert (told.is_on, told.is_standby, told.is_failing) == (False, False, False)
    assert told.age_s == float("inf")


@pytest.mark.parametrize("role", ["reservations_reader", "reservations_writer"])
async def test_any_login_may_look_and_leave_a_mark(connection: Connection, role: str) -> None:
    await connection.execute(f"SET ROLE {role}")
    before = await connection.fetchval(POSITION)
    await archiver.mark(connection)
    await archiver.read(connection)
    assert await connection.fetchval(POSITION) > before
