"""The reservations table: locked and written by the worker in batches, read by id."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from reservations.models.acting import ActingFor
from reservations.models.identifiers import in_order, kin_range
from reservations.models.reservation import Participant, Reservation, ReservationDetails
from reservations.models.vocabulary import stored
from reservations.tables import participants
from reservations.tables.statements import load
from reservations.tables.writes import Write

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("reservations.sql")
DETAILS = set(ReservationDetails.model_fields)


def reservation_of(row: "Record", party: Sequence[Participant]) -> Reservation:
    """Return the reservation that a row and its participants make."""
    columns: dict[str, Any] = dict(row)
    columns.update(orjson.loads(columns.pop("details")))
    columns["status"] = columns["status"].upper()
    return Reservation(**columns, participants=tuple(party))


async def lock(connection: "AnyConnection", ids: Collection[UUID]) -> dict[UUID, Reservation]:
    """Lock the reservations with these ids until the transaction ends, and return those that exist."""
    if not ids:
        return {}
    sorted_ids = in_order(ids)
    rows = await connection.fetch(SQL["lock"], sorted_ids, sorted_ids[0], sorted_ids[-1])
    # Read after the lock: what was seen before it may have been changed by the one who held it.
    parties = await participants.of_reservations(connection, [row["reservation_id"] for row in rows])
    return {row["reservation_id"]: reservation_of(row, parties.get(row["reservation_id"], ())) for row in rows}


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
