"""The reservations table: locked and written by the worker in batches, read by id."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from reservations.models.acting import ActingFor
from reservations.models.identifiers import in_order, kin_range
from reservations.models.reservation import Reservation, ReservationDetails
from reservations.models.vocabulary import stored
from reservations.tables.round_trips import Read, Write
from reservations.tables.statements import load

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("reservations.sql")
DETAILS = set(ReservationDetails.model_fields)
LOCKED = (
    "reservation_id",
    "guest_id",
    "trip_id",
    "confirmation_code",
    "status",
    "trip_date",
    "party_size",
    "total_amount",
    "currency",
    "rev",
    "created_at",
    "updated_at",
    "details",
)


def lock(ids: Collection[UUID]) -> Read[Mapping[UUID, Reservation]]:
    """Return what locks the reservations with these ids until the transaction ends, and reads those that exist.

    Their participants are for a later statement to read: who held the lock before may have changed them.
    """
    sorted_ids = in_order(ids)
    span = (sorted_ids[0], sorted_ids[-1]) if sorted_ids else ()
    return Read("reservations.lock", SQL["lock"], (sorted_ids, *span), _reservations_of, bool(ids))


def _reservations_of(rows: Sequence[Any]) -> Mapping[UUID, Reservation]:
    return {row[0]: _reservation_of(row) for row in rows}


def _reservation_of(row: Sequence[Any]) -> Reservation:
    columns: dict[str, Any] = dict(zip(LOCKED, row, strict=True))
    columns.update(orjson.loads(columns.pop("details")))
    columns["status"] = columns["status"].upper()
    return Reservation(**columns)


async def find(
    connection: "AnyConnection", reservation_id: UUID, acting_for: ActingFor | None = None
) -> "Record | None":
    """Return the row of the reservation with this id, with its party, if it is there for whom one acts for."""
    guest_id, partner_id = (acting_for.guest_id, acting_for.partner_id) if acting_for else (None, None)
    kin = kin_range(reservation_id, reservation_id)
    return await connection.fetchrow(SQL["find"], reservation_id, *kin, guest_id, partner_id)


@dataclass(frozen=True, slots=True)
class Booked:
    """The trip that a reservation is for, who booked it, and who of the party is named."""

    trip_id: UUID
    guests: frozenset[UUID]


async def booked(connection: "AnyConnection", ids: Collection[UUID]) -> dict[UUID, Booked]:
    """Return whom and what the reservations with these ids are about, without a lock."""
    span = min(ids), max(ids)
    rows = await connection.fetch(SQL["booked"], list(ids), *span, *kin_range(*span))
    return {row["reservation_id"]: Booked(row["trip_id"], frozenset((row["guest_id"], *row["party"]))) for row in rows}


def insert(made: Sequence[Reservation]) -> Write | None:
    """Return what inserts new reservations, without their participants."""
    if not made:
        return None
    columns = (
        [r.reservation_id for r in made],
        [r.guest_id for r in made],
        [r.trip_id for r in made],
        [r.confirmation_code for r in made],
        [stored(r.status) for r in made],
        [r.trip_date for r in made],
        [r.party_size for r in made],
        [r.total_amount for r in made],
        [r.currency for r in made],
        [r.rev for r in made],
        [r.created_at for r in made],
        [r.updated_at for r in made],
        [_details(r) for r in made],
    )
    return Write("reservations.insert", SQL["insert"], columns, len(made))


def update(changed: Sequence[tuple[int, Reservation]]) -> Write | None:
    """Return what writes reservations over the revisions they were read at, without their participants."""
    if not changed:
        return None
    revs, rows = zip(*changed, strict=True)
    ids = [r.reservation_id for r in rows]
    columns = (
        ids,
        revs,
        [stored(r.status) for r in rows],
        [r.trip_date for r in rows],
        [r.party_size for r in rows],
        [r.total_amount for r in rows],
        [r.rev for r in rows],
        [r.updated_at for r in rows],
        [_details(r) for r in rows],
    )
    return Write("reservations.update", SQL["update"], (min(ids), max(ids), *columns), len(rows))


def _details(reservation: Reservation) -> str:
    return reservation.model_dump_json(include=DETAILS)
