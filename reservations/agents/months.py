"""The months that can be booked into, and the job that keeps enough of them ahead."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from reservations.tables import partitions

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

MONTHS_AHEAD = 3


class BookableMonths:
    """The span of the monthly partitions, as last looked up."""

    def __init__(self) -> None:
        self.first = self.end = datetime(1970, 1, 1, tzinfo=UTC)
        self.ahead = -1

    async def keep(self, pool: "AnyPool") -> None:
        """Make the months that are missing ahead, and look up the span."""
        async with pool.acquire() as connection:
            await partitions.ensure_months(connection, MONTHS_AHEAD)
            kept = await partitions.months(connection)
            self.ahead = await partitions.months_ahead(connection)
        self.first, self.end = _start_of(kept[0]), _start_of(partitions.month_after(kept[-1], 1))


def _start_of(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)
