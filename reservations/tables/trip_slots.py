"""The seats of each trip date: how many there are and how many are taken."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from reservations.models.books import SeatChange, Seats, Slot, in_order
from reservations.models.vocabulary import FINAL, stored
from reservations.tables.database import StaleWriteError
from reservations.tables.round_trips import Read, Write
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


def read(slots: Collection[Slot]) -> Read[Mapping[Slot, Seats]]:
    """Return what reads the seats of those of these trip dates that were booked before, as they are at that moment."""
    return Read("trip_slots.read", SQL["read"], _keys(slots), _seats_of, bool(slots))


def lock(slots: Collection[Slot]) -> Read[Mapping[Slot, Seats]]:
    """Return what locks those trip dates, until the transaction ends, before it reads their seats."""
    return Read("trip_slots.lock", SQL["lock"], _keys(slots), _seats_of, bool(slots))


def _seats_of(rows: Sequence[Any]) -> Mapping[Slot, Seats]:
    return {(trip_id, trip_date): Seats(capacity, taken) for trip_id, trip_date, capacity, taken in rows}


async def fullest(connection: "AnyConnection", limit: int) -> "list[Record]":
    """Return the coming trip dates of which the largest part is taken, those without a known capacity last."""
    return await connection.fetch(SQL["fullest"], limit)


async def open_new(connection: "AnyConnection", slots: Collection[Slot]) -> None:
    """Make the rows of trip dates that were not booked before."""
    if slots:
        await connection.execute(SQL["open"], *_keys(slots))


def change(changes: Sequence[tuple[Slot, SeatChange]]) -> Write | None:
    """Return what takes and gives back seats, given in the order of their keys, of trip dates that are there.

    It raises SeatsTakenError where others took seats since they were read, so that not all of these are left.
    """
    if not changes:
        return None
    columns = (
        [trip_id for (trip_id, _), _ in changes],
        [trip_date for (_, trip_date), _ in changes],
        [change.seats for _, change in changes],
        [change.peak for _, change in changes],
        [change.capacity for _, change in changes],
    )
    return Write("trip_slots.change", SQL["change"], columns, len(changes), SeatsTakenError)


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
