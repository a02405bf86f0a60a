"""The inbox: every handled message with its outcome, written in the transaction of its effect."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("inbox.sql")


@dataclass(frozen=True, slots=True)
class Entry:
    """A handled message: what it asked for (hashed), what came of it and what was published (JSON)."""

    message_id: UUID
    kind: str
    reservation_id: UUID | None
    fingerprint: UUID
    outcome: str
    publications: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What an earlier handling of a message left."""

    fingerprint: UUID
    outcome: str
    publications: str


async def of_messages(connection: "AnyConnection", message_ids: Collection[UUID]) -> dict[UUID, Seen]:
    """Return what is known of those messages that were handled before."""
    rows = await connection.fetch(SQL["of_messages"], message_ids)
    return {row["message_id"]: Seen(row["fingerprint"], row["outcome"], row["publications"]) for row in rows}


async def insert(connection: "AnyConnection", entries: Sequence[Entry]) -> None:
    """Insert entries.

    Raises:
        asyncpg.UniqueViolationError: another transaction handled one of the messages meanwhile.

    """
    if entries:
        await connection.execute(
            SQL["insert"],
            [e.message_id for e in entries],
            [e.kind for e in entries],
            [e.reservation_id for e in entries],
            [e.fingerprint for e in entries],
            [e.outcome for e in entries],
            [e.publications for e in entries],
        )


async def outcome_of(connection: "AnyConnection", message_id: UUID) -> str | None:
    """Return the outcome of a message (JSON), if it was handled."""
    outcome: str | None = await connection.fetchval(SQL["outcome_of"], message_id)
    return outcome
