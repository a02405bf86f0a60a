"""Erasing what is personal of a guest, in batches that each are a transaction of the caller's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.erasure import KEPT_REASONS, outcome_without, publications_without, released_without
from reservations.models.identifiers import kin_range
from reservations.tables.statements import load

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("erasure.sql")


async def bookings_of(connection: "AnyConnection", guest_id: UUID) -> list[UUID]:
    """Return the ids of the reservations that a guest booked or takes part in, in their order."""
    return [row["reservation_id"] for row in await connection.fetch(SQL["bookings"], guest_id)]


async def erase_bookings(connection: "AnyConnection", guest_id: UUID, ids: Sequence[UUID]) -> dict[str, int]:
    """Erase from these reservations, whose ids come in order; return how many rows of each kind that changed."""
    span, kin = (ids[0], ids[-1]), kin_range(ids[0], ids[-1])
    await connection.execute(SQL["lock"], ids, *span)
    clearances = await connection.fetch(SQL["clearances"], ids, *kin, guest_id)
    reasons = await connection.fetch(SQL["reasons"], ids, *kin, guest_id, list(KEPT_REASONS))
    touched = [row["reservation_id"] for row in (*clearances, *reasons)]
    status = await connection.execute(SQL["details"], ids, *span, guest_id, touched)
    changed = int(status.removeprefix("UPDATE "))
    return {"reservations": changed, "participants": len(clearances), "reasons": len(reasons)}


async def entries_of(connection: "AnyConnection", ids: Sequence[UUID]) -> list[UUID]:
    """Return the inbox's messages that were about these reservations."""
    return [row["message_id"] for row in await connection.fetch(SQL["entries"], ids)]


async def erase_entries(connection: "AnyConnection", guest_id: UUID, message_ids: Sequence[UUID]) -> dict[str, int]:
    """Erase from the inbox's copies; return how many entries that changed. What waits there is a payment."""
    rows = await connection.fetch(SQL["lock_entries"], message_ids)
    erased = [(row, _without(row, guest_id)) for row in rows]
    changed = [(row["message_id"], *now) for row, now in erased if now != _texts(row)]
    if changed:
        await connection.execute(SQL["rewrite_entries"], *zip(*changed, strict=True))
    return {"inbox_entries": len(changed)}


def _texts(row: "Record") -> tuple[str, str, str]:
    return row["outcome"], row["publications"], row["released"]


def _without(row: "Record", guest_id: UUID) -> tuple[str, str, str]:
    outcome, publications, released = _texts(row)
    return (
        outcome_without(outcome, guest_id),
        publications_without(publications, guest_id),
        released_without(released, guest_id),
    )
