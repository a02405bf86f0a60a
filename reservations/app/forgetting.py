"""Having a guest forgotten: batch by batch beside running workers, and again from the start after a crash."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from reservations.app.settings import Settings
from reservations.models.erasure import Erased
from reservations.tables import audit_log, erasure
from reservations.tables.database import OWNER

if TYPE_CHECKING:
    from asyncpg.transaction import Transaction

    from reservations.tables.database import AnyConnection

BATCH_SIZE = 500
MAX_ACTOR = 100

#: Is told how many of how many rows of a kind have been seen to.
Progress = Callable[[str, int, int], None]
Erase = Callable[["AnyConnection", UUID, Sequence[UUID]], Awaitable[Mapping[str, int]]]


@asynccontextmanager
async def _as_owner(settings: Settings) -> AsyncIterator["AnyConnection"]:
    named = {"application_name": "reservations-forget-guest", "timezone": "UTC", "statement_timeout": "0"}
    connection = await asyncpg.connect(settings.database_url, server_settings={**OWNER, **named})
    try:
        yield connection
    finally:
        await connection.close()


async def forget_guest(
    settings: Settings,
    guest_id: UUID,
    by: str,
    *,
    dry_run: bool = False,
    progress: Progress = lambda *_: None,
    batch_size: int = BATCH_SIZE,
) -> Erased:
    """Erase what is personal of a guest and write into the audit log by whom; return how much that was.

    A dry run does all of it and takes it back, batch by batch. What is booked meanwhile is not seen.
    """
    async with _as_owner(settings) as connection:
        audit_id = None if dry_run else await audit_log.begin_erasure(connection, by[:MAX_ACTOR], guest_id)
        erased = await _Run(connection, guest_id, batch_size, dry_run, progress).erase()
        if audit_id:
            await audit_log.end_erasure(connection, audit_id, erased)
        return erased


@dataclass(slots=True)
class _Run:
    """Erases one guest in transactions of bounded size."""

    connection: "AnyConnection"
    guest_id: UUID
    batch_size: int
    dry_run: bool
    progress: Progress
    erased: Erased = field(default_factory=Erased)

    async def erase(self) -> Erased:
        """Erase everything; return how much that was."""
        bookings = await erasure.bookings_of(self.connection, self.guest_id)
        await self._each("reservations", bookings, erasure.erase_bookings)
        # Looked for after that: who held a reservation before has committed its entry, who comes later finds it erased.
        entries = await erasure.entries_of(self.connection, bookings)
        await self._each("inbox entries", entries, erasure.erase_entries)
        return self.erased.model_copy(update={"finished": True})

    async def _each(self, kind: str, ids: Sequence[UUID], erase: Erase) -> None:
        for start in range(0, len(ids), self.batch_size):
            batch = ids[start : start + self.batch_size]
            transaction = self.connection.transaction()
            async with _taken_back(transaction) if self.dry_run else transaction:
                counts = await erase(self.connection, self.guest_id, batch)
            self.erased = self.erased.and_also(**counts)
            self.progress(kind, start + len(batch), len(ids))


@asynccontextmanager
async def _taken_back(transaction: "Transaction") -> AsyncIterator[None]:
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
