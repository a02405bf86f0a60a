"""The inbox: every handled message with its outcome, written in the transaction of its effect."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from reservations.models.commands import RecordPayment
from reservations.models.identifiers import in_order
from reservations.models.worksheet import Entry, Seen
from reservations.tables.round_trips import Read, Write
from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("inbox.sql")


def of_messages(message_ids: Collection[UUID]) -> Read[Mapping[UUID, Seen]]:
    """Return what reads those of these messages that were handled before, and what came of them."""
    return Read("inbox.of_messages", SQL["of_messages"], (message_ids,), _seen_of)


def _seen_of(rows: Sequence[Any]) -> Mapping[UUID, Seen]:
    return {message_id: Seen(*seen) for message_id, *seen in rows}


def waiting_for(reservation_ids: Collection[UUID]) -> Read[Mapping[UUID, list[RecordPayment]]]:
    """Return what locks and reads the payments that wait for these reservations, by reservation."""
    arguments = (in_order(reservation_ids),)
    return Read("inbox.waiting_for", SQL["waiting_for"], arguments, _waiting_of, bool(reservation_ids))


def _waiting_of(rows: Sequence[Any]) -> Mapping[UUID, list[RecordPayment]]:
    waiting: dict[UUID, list[RecordPayment]] = defaultdict(list)
    for reservation_id, parked in rows:
        waiting[reservation_id].append(RecordPayment.model_validate_json(parked))
    return waiting


async def waiting_since(connection: "AnyConnection", before: datetime, limit: int) -> list[RecordPayment]:
    """Lock and return payments that have waited since before that instant."""
    rows = await connection.fetch(SQL["waiting_since"], before, limit)
    return [RecordPayment.model_validate_json(row["parked"]) for row in rows]


def take_turns(reservation_ids: Collection[UUID]) -> Read[int]:
    """Return what lets nobody else make these reservations or park a payment for them until the transaction ends.

    Without that a payment and the reservation it is for could miss each other: neither sees what is not committed. So
    what is to be seen is for a later statement to read.
    """
    arguments = ([str(each) for each in in_order(reservation_ids)],)
    return Read("inbox.take_turns", SQL["take_turns"], arguments, len, bool(reservation_ids))


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
