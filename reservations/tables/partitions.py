"""The monthly partitions: which exist, and the making of the coming ones. A month is its first day, in UTC."""

from datetime import UTC, date, datetime
from itertools import count, takewhile
from typing import TYPE_CHECKING

from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("partitions.sql")


async def ensure_months(connection: "AnyConnection", ahead: int = 3, today: date | None = None) -> list[date]:
    """Make the partitions of the current month and of so many after it; return the months that were missing.

    Each month is a transaction of its own unless the caller has opened one. Raises asyncpg's LockNotAvailableError when
    a table was locked for longer than the database waits: try again later.
    """
    wanted = [month_after(today or _today(), distance) for distance in range(ahead + 1)]
    return [month for month in wanted if await connection.fetchval(SQL["ensure_month"], month)]


async def months(connection: "AnyConnection") -> list[date]:
    """Return the months that have partitions, oldest first."""
    return [row["month"] for row in await connection.fetch(SQL["months"])]


async def months_ahead(connection: "AnyConnection", today: date | None = None) -> int:
    """Return how many months after the current one have partitions without a gap; -1 when the current one has none."""
    existing = set(await months(connection))
    coming = (month_after(today or _today(), distance) for distance in count())
    return sum(1 for _ in takewhile(existing.__contains__, coming)) - 1


def month_after(day: date, distance: int) -> date:
    """Return the first day of the month that is so many months after the day's."""
    years, month = divmod(day.month - 1 + distance, 12)
    return date(day.year + years, month + 1, 1)


def _today() -> date:
    return datetime.now(UTC).date()
