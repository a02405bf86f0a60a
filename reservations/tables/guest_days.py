"""The days on which guests travel: one active reservation a day."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.books import GuestDay
from reservations.tables.statements import load
from reservations.tables.writes import Write

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
    if days:
        await connection.execute(SQL["free"], *_columns(days))


def claim(days: Held) -> Write | None:
    """Return what takes days, given in the order of their keys.

    It raises asyncpg.UniqueViolationError where another transaction took one meanwhile.
    """
    return Write("guest_days.claim", SQL["claim"], _columns(days), len(days)) if days else None


def _columns(days: Held) -> Sequence[object]:
    return (
        [guest for (guest, _), _ in days],
        [day for (_, day), _ in days],
        [reservation_id for _, reservation_id in days],
    )
