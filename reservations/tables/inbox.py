"""The inbox: every handled message with its outcome, written in the transaction of its effect."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.commands import RecordPayment
from reservations.models.identifiers import in_order
from reservations.models.worksheet import Entry, Seen
from reservations.tables.statements import load
from reservations.tables.writes import Write

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("inbox.sql")


async def of_messages(connection: "AnyConnection", message_ids: Collection[UUID]) -> dict[UUID, Seen]:
    """Return what is known of those messages that were handled before."""
    rows = await connection.fetch(SQL["of_messages"], message_ids)
    return {
        row["message_id"]: Seen(row["fingerprint"], row["outcome"], row["publications"], row["released"])
        for row in rows
    }


async def waiting_for(
    connection: "AnyConnection", reservation_ids: Collection[UUID]
) -> dict[UUID, list[RecordPayment]]:
    """Lock and return the payments that wait for these reservations, by reservation."""
    waiting: dict[UUID, list[RecordPayment]] = defaultdict(list)
    if reservation_ids:
        for row in await connection.fetch(SQL["waiting_for"], in_order(reservation_ids)):
            waiting[row["reservation_id"]].append(RecordPayment.model_validate_json(row["parked"]))
    return waiting


async def waiting_since(connection: "AnyConnection", before: datetime, limit: int) -> list[RecordPayment]:
    """Lock and return payments that have waited since before that instant."""
    rows = await connection.fetch(SQL["waiting_since"], before, limit)
    return [RecordPayment.model_validate_json(row["parked"]) for row in rows]


async def take_turns(connection: "AnyConnection", reservation_ids: Collection[UUID]) -> None:
    """Let nobody else make these reservations or park a payment for them until the transaction ends.

    Without that a payment and the reservation it is for could miss each other: neither sees what is not committed.
    """
    if reservation_ids:
        await connection.execute(SQL["take_turns"], [str(each) for each in in_order(reservation_ids)])


def insert(entries: Sequence[Entry]) -> Write | None:
    """Return what inserts entries.

    It raises asyncpg.UniqueViolationError where another transaction handled one of the messages meanwhile.
    """
    return Write("inbox.insert", SQL["insert"], _columns(entries), len(entries)) if entries else None


def answer(entries: Sequence[Entry]) -> Write | None:
    """Return what writes over the entries of messages that had waited or were set aside."""
    if not entries:
        return None
    columns = (
        [e.message_id for e in entries],
        [e.outcome for e in entries],
        [e.publications for e in entries],
        [e.parked for e in entries],
    )
    return Write("inbox.answer", SQL["answer"], columns, len(entries))


def _columns(entries: Sequence[Entry]) -> Sequence[object]:
    return (
        [e.message_id for e in entries],
        [e.kind for e in entries],
        [e.reservation_id for e in entries],
        [e.fingerprint for e in entries],
        [e.outcome for e in entries],
        [e.publications for e in entries],
        [e.parked for e in entries],
        [e.released for e in entries],
        [e.issued_by for e in entries],
    )


async def outcome_of(connection: "AnyConnection", message_id: UUID, issued_by: str | None = None) -> str | None:
    """Return the outcome of a message (JSON) if it was handled, and was issued by that one where one is named."""
    outcome: str | None = await connection.fetchval(SQL["outcome_of"], message_id, issued_by)
    return outcome


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the inbox has of a message; outcome, publications, parked and released are JSON."""

    message_id: UUID
    kind: str
    reservation_id: UUID | None
    issued_by: str | None
    outcome: str | None
    publications: str
    parked: str | None
    released: str
    processed_at: datetime


async def entry(connection: "AnyConnection", message_id: UUID) -> Kept | None:
    """Return all that is kept of a message, if it was handled."""
    row = await connection.fetchrow(SQL["entry"], message_id)
    return Kept(**row) if row else None


async def prune(connection: "AnyConnection", before: datetime, limit: int) -> int:
    """Delete the oldest messages answered before that instant, none that waits; return how many."""
    status = await connection.execute(SQL["prune"], before, limit)
    return int(status.removeprefix("DELETE "))
