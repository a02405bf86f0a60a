"""Searching reservations, newest first: by pages that are counted, or by a cursor that counts nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.reservation import Reservation
from reservations.models.vocabulary import Status, stored
from reservations.tables import participants
from reservations.tables.reservations import reservation_of
from reservations.tables.statements import load

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("search.sql")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a reservation must match; None matches all. Dates are inclusive, on the trip date."""

    guest_id: UUID | None = None
    trip_id: UUID | None = None
    status: Status | None = None
    start_date: date | None = None
    end_date: date | None = None
    confirmation_code: str | None = None
    party_size: int | None = None

    def arguments(self) -> tuple[object, ...]:
        """Return the arguments that the statements take first."""
        return (
            self.guest_id,
            self.trip_id,
            self.status and stored(self.status),
            self.start_date,
            self.end_date,
            self.confirmation_code,
            self.party_size,
        )


async def page(
    connection: "AnyConnection", filters: Filters, *, before: UUID | None = None, limit: int, offset: int = 0
) -> list[Reservation]:
    """Return reservations, newest first, those made before the one with that id."""
    rows = await connection.fetch(SQL["page"], *filters.arguments(), before, limit, offset)
    return await _with_parties(connection, rows)


async def count(connection: "AnyConnection", filters: Filters, *, at_most: int) -> int:
    """Return how many reservations match, counting no further than at_most."""
    found: int = await connection.fetchval(SQL["count"], *filters.arguments(), at_most)
    return found


async def _with_parties(connection: "AnyConnection", rows: "Sequence[Record]") -> list[Reservation]:
    parties = await participants.of_reservations(connection, [row["reservation_id"] for row in rows])
    return [reservation_of(row, parties.get(row["reservation_id"], ())) for row in rows]
