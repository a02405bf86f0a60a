"""The days on which guests travel: one active reservation a day."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.books import GuestDay
from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("guest_days.sql")
Held = Sequence[tuple[GuestDay, UUID]]


async def held(connection: "AnyConnection", days: Collection[GuestDay]) -> dict[GuestDay, UUID]:
    """Return which reservations hold these days."""
    if not days:
        return {}
    rows = await connection.fetch(SQL["held"], [guest for guest, _ in days], [day for _, day in days])
    return {(row["guest_id"], row["trip_date"]): row["reservation_id"] for row in rows}


async def free(connection: "AnyConnection", days: Held) -> None:
    """Give days back."""
    await _execute(connection, "free", days)


async def claim(connection: "AnyConnection", days: Held) -> None:
    """Take days, given in the order of their keys.

    Raises:
        asyncpg.UniqueViolationError: another transaction took one meanwhile.

    """
    await _execute(connection, "claim", days)


async def _execute(connection: "AnyConnection", statement: str, days: Held) -> None:
    if days:
        await connection.execute(
            SQL[statement],
            [guest for (guest, _), _ in days],
            [day for (_, day), _ in days],
            [reservation_id for _, reservation_id in days],
        )
