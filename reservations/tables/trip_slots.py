"""The seats of each trip date: how many there are and how many are taken."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.books import Seats, Slot, in_order
from reservations.models.vocabulary import FINAL, stored
from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("trip_slots.sql")


@dataclass(frozen=True, slots=True)
class Imbalance:
    """A trip date whose count is not the sum of what its active reservations hold."""

    trip_id: UUID
    trip_date: date
    counted: int
    held: int


async def lock(connection: "AnyConnection", slots: Collection[Slot]) -> dict[Slot, Seats]:
    """Lock these trip dates until the transaction ends, opening those that are new; return their seats."""
    found = await _lock(connection, slots)
    missing = [slot for slot in slots if slot not in found]
    if missing:
        await connection.execute(SQL["open"], *_keys(missing))
        found |= await _lock(connection, missing)
    return found


async def _lock(connection: "AnyConnection", slots: Collection[Slot]) -> dict[Slot, Seats]:
    if not slots:
        return {}
    rows = await connection.fetch(SQL["lock"], *_keys(slots))
    return {(row["trip_id"], row["trip_date"]): Seats(row["capacity"], row["taken"]) for row in rows}


async def write(connection: "AnyConnection", changed: Sequence[tuple[Slot, Seats]]) -> None:
    """Write the seats of trip dates that are locked."""
    if changed:
        await connection.execute(
            SQL["write"],
            [trip_id for (trip_id, _), _ in changed],
            [trip_date for (_, trip_date), _ in changed],
            [seats.capacity for _, seats in changed],
            [seats.taken for _, seats in changed],
        )


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
