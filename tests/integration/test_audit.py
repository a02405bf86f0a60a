"""`reservations slots audit`: what is counted against what is held."""

import asyncio
import os
import sys
from datetime import UTC, date, datetime
from uuid import uuid4

from tests.databases import Connection
from tests.integration.reservation_rows import insert, reservation_row

DAY = date(2027, 6, 12)


async def audit(database: str, *options: str) -> tuple[int | None, str]:
    """Run the command; return its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "reservations.app.cli", "slots", "audit", *options),
        env=os.environ | {"DATABASE_URL": database},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_wrong_counts_are_named_and_repaired_and_right_ones_left_alone(
    database: str, connection: Connection
) -> None:
    now = datetime.now(UTC)
    wrong, right, missing = uuid4(), uuid4(), uuid4()
    for trip, party_size, status in (
        (wrong, 3, "confirmed"),
        (wrong, 2, "cancelled"),
        (right, 2, "pending"),
        (missing, 1, "checked_in"),
    ):
        row = reservation_row(now, trip_id=trip, trip_date=DAY, party_size=party_size, status=status)
        await insert(connection, "reservations", row)
    slots = [(wrong, DAY, 40, 5), (right, DAY, None, 2)]
    await connection.executemany("INSERT INTO reservations.trip_slots VALUES ($1, $2, $3, $4)", slots)

    code, told = await audit(database)
    assert code == 1
    assert f"trip {wrong} on 2027-06-12: 5 counted, 3 held" in told
    assert f"trip {missing} on 2027-06-12: 0 counted, 1 held" in told
    assert str(right) not in told
    assert (await audit(database, "--repair"))[0] == 0
    assert await audit(database) == (0, "0 trip dates differ.\n")
    found = await connection.fetch("SELECT trip_id, capacity, taken FROM reservations.trip_slots")
    assert {tuple(row) for row in found} == {(wrong, 40, 3), (right, None, 2), (missing, None, 1)}
