"""Fill a database with years of reservations: `python -m tests.bench.generate DATABASE_URL --reservations 10000000`.

Everything is made inside Postgres, month by month, and follows from the seed and the present day. A run that was
interrupted is gone on with by running it again.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from time import monotonic

import asyncpg

from reservations.migrations.runner import migrate
from reservations.models.vocabulary import FINAL, stored
from reservations.tables import partitions
from reservations.tables.statements import load
from tests.databases import Connection

SQL = load("generate.sql", "tests.bench")
OVER = [stored(status) for status in FINAL]
GUESTS, TRIPS = 500_000, 2_000
TABLES = ("reservations", "participants", "status_history", "trip_slots", "guest_days")
# The rows are made of one another, so foreign keys hold without being checked one by one.
SESSION = {"session_replication_role": "replica", "timezone": "UTC", "synchronous_commit": "off", "work_mem": "256MB"}


@dataclass(frozen=True)
class Month:
    """The reservations that are made in one month: their instants and numbers, from and up to, the latter excluded."""

    begins: datetime
    ends: datetime
    first: int
    after: int


def plan(reservations: int, months: int, now: datetime) -> Sequence[Month]:
    """Spread reservations evenly over the last months; the present one ends now."""
    firsts = [partitions.month_after(now.date(), distance - months + 1) for distance in range(months)]
    edges = [datetime.combine(first, time(), UTC) for first in firsts] + [now]
    whole_s = (edges[-1] - edges[0]).total_seconds()
    numbers = [round(reservations * (edge - edges[0]).total_seconds() / whole_s) for edge in edges]
    return [Month(*each) for each in zip(edges, edges[1:], numbers, numbers[1:], strict=False)]


async def generate(database_url: str, reservations: int, months: int, seed: int) -> None:
    """Migrate a database and fill it; at its end every index is there and the tables are analysed."""
    await migrate(database_url)
    connection = await asyncpg.connect(database_url, server_settings=SESSION)
    try:
        await _drop_indexes(connection)
        now = datetime.now(UTC).replace(microsecond=0)
        for month in plan(reservations, months, now):
            if month.first < month.after:
                await _fill_month(connection, month, seed, now.date())
        await _say("trip dates counted", connection.execute(SQL["trip_slots"], OVER))
        await _build_indexes(connection)
        for table in TABLES:
            await _say(f"{table} analysed", connection.execute(f"VACUUM (ANALYZE) reservations.{table}"))
    finally:
        await connection.close()


async def _drop_indexes(connection: Connection) -> None:
    await connection.execute(SQL["remember_indexes"])
    for row in await connection.fetch(SQL["indexes"]):
        await connection.execute(f"DROP INDEX IF EXISTS reservations.{row['name']}")


async def _build_indexes(connection: Connection) -> None:
    for row in await connection.fetch(SQL["indexes"]):
        if not row["is_there"]:
            await _say(f"{row['name']} built", connection.execute(row["definition"].replace(" ON ONLY ", " ON ")))
    await connection.execute(SQL["forget_indexes"])


async def _fill_month(connection: Connection, month: Month, seed: int, today: date) -> None:
    await partitions.ensure_months(connection, ahead=0, today=month.begins.date())
    span = month.begins, month.ends
    if await connection.fetchval(SQL["is_filled"], *span):
        return
    begun = monotonic()
    async with connection.transaction():
        numbers = month.first, month.after
        await connection.execute(SQL["reservations"], *span, *numbers, seed, GUESTS, TRIPS, today)
        await connection.execute(SQL["guest_days"], *span, OVER)
        await connection.execute(SQL["second_bookings"], *span, OVER)
        await connection.execute(SQL["participants"], *span)
        await connection.execute(SQL["status_history"], *span)
    print(
        f"{month.begins:%Y-%m}: {month.after - month.first} in {monotonic() - begun:.1f} s, {month.after} in all",
        flush=True,
    )


async def _say(what: str, work: Awaitable[object]) -> None:
    begun = monotonic()
    await work
    print(f"{what} in {monotonic() - begun:.1f} s", flush=True)


def main() -> None:
    """Read the arguments and fill the database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database_url")
    parser.add_argument("--reservations", type=int, default=10_000_000)
    parser.add_argument("--months", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(generate(given.database_url, given.reservations, given.months, given.seed))


if __name__ == "__main__":
    main()
