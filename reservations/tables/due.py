"""What the clock has made due, looked up by one worker at a time."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("due.sql")


async def take_the_clock(connection: "AnyConnection") -> bool:
    """Take the clock until the transaction ends; false when another worker has it."""
    taken: bool = await connection.fetchval(SQL["take_the_clock"])
    return taken


async def unpaid_holds(connection: "AnyConnection", made_before: datetime, limit: int) -> Sequence[tuple[UUID, int]]:
    """Return the id and revision of PENDING reservations made before that instant."""
    return [tuple(row) for row in await connection.fetch(SQL["unpaid_holds"], made_before, limit)]


async def no_shows(connection: "AnyConnection", last_day: date, limit: int) -> Sequence[tuple[UUID, int]]:
    """Return the id and revision of reservations up to that trip date whose guests have not checked in."""
    return [tuple(row) for row in await connection.fetch(SQL["no_shows"], last_day, limit)]
