"""The seats of each trip date: how many there are and how many are taken."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.books import SeatChange, Seats, Slot, in_order
from reservations.models.vocabulary import FINAL, stored
from reservations.tables.database import StaleWriteError
from reservations.tables.statements import load

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("trip_slots.sql")


class SeatsTakenError(StaleWriteError):
    """Seats are no longer free as they were read."""


@dataclass(frozen=True, slots=True)
class Imbalance:
    """A trip date whose count is not the sum of what its active reservations hold."""

    trip_id: UUID
    trip_date: date
    counted: int
    held: int


async def read(connection: "AnyConnection", slots: Collection[Slot]) -> dict[Slot, Seats]:
    """Return the seats of those of these trip dates that were booked before, as they are at this moment."""
    return await _seats(connection, "read", slots)


async def lock(connection: "AnyConnection", slots: Collection[Slot]) -> dict[Slot, Seats]:
    """Lock those of these trip dates that were booked before until the transaction ends; return their seats."""
    return await _seats(connection, "lock", slots)


async def fullest(connection: "AnyConnection", limit: int) -> "list[Record]":
    """Return the coming trip dates of which the largest part is taken, those without a known capacity last."""
    return await connection.fetch(SQL["fullest"], limit)


async def _seats(connection: "AnyConnection", statement: str, slots: Collection[Slot]) -> dict[Slot, Seats]:
    if not slots:
        return {}
    rows = await connection.fetch(SQL[statement], *_keys(slots))
    return {(row["trip_id"], row["trip_date"]): Seats(row["capacity"], row["taken"]) for row in rows}


async def change(
    connection: "AnyConnection", changes: Sequence[tuple[Slot, SeatChange]], known: Collection[Slot]
) -> None:
    """Take and give back seats, given in the order of their keys; trip dates that are not known yet are opened.

    Raises:
        SeatsTakenError: others took seats since they were read, so that not all of these are left.

    """
    if not changes:
        return
    new = [slot for slot, _ in changes if slot not in known]
    if new:
        await connection.execute(SQL["open"], *_keys(new))
    status = await connection.execute(
        SQL["change"],
        [trip_id for (trip_id, _), _ in changes],
        [trip_date for (_, trip_date), _ in changes],
        [change.seats for _, change in changes],
        [change.peak for _, change in changes],
        [change.capacity for _, change in changes],
    )
    if status != f"UPDATE {len(changes)}":
        raise SeatsTakenError(f"{status} of {len(changes)} trip dates")


async def imbalances(connection: "AnyConnection") -> list[Imbalance]:
    """Compare every trip date with its active reservations; return those that differ."""
    rows = await connection.fetch(SQL["imbalances"], [stored(status) for status in FINAL])
    return [Imbalance(row["trip_id"], row["trip_date"], row["counted"], row["held"]) for row in rows]


async def hold_still(connection: "AnyConnection") -> None:
    """Let no batch take or give back seats until the transaction ends."""
    await connection.execute(SQL["hold_still"])


async def repair(connection: "AnyConnection", wrong: Sequence[Imbalance]) -> None:
    """Set the counts of trip dates to what their reservations hold."""
    await connection.execute(
        SQL["repair"],
        [each.trip_id for each in wrong],
        [each.trip_date for each in wrong],
        [each.held for each in wrong],
    )


def _keys(slots: Collection[Slot]) -> tuple[list[UUID], list[date]]:
    keys = in_order(slots)
    return [trip_id for trip_id, _ in keys], [trip_date for _, trip_date in keys]
