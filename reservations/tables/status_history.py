"""The status history table: who moved a reservation, when and why."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from reservations.models.events import Announcement, Booked, announcement_in, announcement_of, event_again
from reservations.models.identifiers import kin_range
from reservations.models.reservation import StatusChange
from reservations.models.vocabulary import stored
from reservations.tables.round_trips import Read, Write
from reservations.tables.statements import load

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("status_history.sql")
PREFETCH = 500
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
DETAILS = {"rev", "command_id"}


def change_of(row: "Record") -> StatusChange:
    """Return the change that a row tells of."""
    return StatusChange(
        history_id=row["history_id"],
        old_status=row["old_status"] and row["old_status"].upper(),
        new_status=row["new_status"].upper(),
        changed_by=row["changed_by"],
        reason=row["reason"],
        changed_at=row["changed_at"],
        **orjson.loads(row["details"]),
    )


async def of_reservation(connection: "AnyConnection", reservation_id: UUID) -> list[StatusChange]:
    """Return a reservation's changes of status, oldest first."""
    span = kin_range(reservation_id, reservation_id)
    return [change_of(row) for row in await connection.fetch(SQL["of_reservation"], reservation_id, *span)]


def told_since(since: Mapping[UUID, int]) -> Read[Mapping[UUID, Sequence[Announcement]]]:
    """Return what reads the events of reservations from a revision on, as published, in the order of the revisions."""
    span = kin_range(min(since), max(since)) if since else ()
    arguments = (list(since), list(since.values()), *span)
    return Read("status_history.told_since", SQL["told_since"], arguments, _told_of, bool(since))


def _told_of(rows: Sequence[Any]) -> Mapping[UUID, Sequence[Announcement]]:
    told: dict[UUID, list[Announcement]] = defaultdict(list)
    for reservation_id, history_id, publications in rows:
        told[reservation_id].append(announcement_in(publications, history_id))
    return told


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, until before its end, and one reservation if one is named."""

    since: datetime
    until: datetime
    reservation_id: UUID | None = None

    def arguments(self) -> tuple[object, ...]:
        """Return it as the statements want it."""
        ids = kin_range(self.reservation_id, self.reservation_id) if self.reservation_id else (FIRST_ID, LAST_ID)
        return (self.since, self.until, *ids, self.reservation_id)


@dataclass(frozen=True, slots=True)
class Retold:
    """An event of the past, and whether it had to be put together anew."""

    announcement: Announcement
    is_rebuilt: bool


async def count_between(connection: "AnyConnection", span: Span) -> int:
    """Return how many events a span of time has."""
    count: int = await connection.fetchval(SQL["count_between"], *span.arguments())
    return count


async def told_between(connection: "AnyConnection", span: Span) -> AsyncIterator[Retold]:
    """Yield the events of a span of time, by reservation, in the order of its revisions; within a transaction."""
    async for row in connection.cursor(SQL["told_between"], *span.arguments(), prefetch=PREFETCH):
        try:
            yield Retold(announcement_in(row["publications"] or "[]", row["history_id"]), is_rebuilt=False)
        except StopIteration:
            yield Retold(_rebuilt(row), is_rebuilt=True)


def _rebuilt(row: "Record") -> Announcement:
    booked = Booked(
        row["reservation_id"],
        row["guest_id"],
        row["trip_id"],
        row["trip_date"],
        row["party_size"],
        row["confirmation_code"],
    )
    return announcement_of(event_again(change_of(row), booked))


def insert(changes: Sequence[tuple[UUID, StatusChange]]) -> Write | None:
    """Return what inserts changes, each with its reservation's id."""
    if not changes:
        return None
    columns = (
        [c.history_id for _, c in changes],
        [reservation_id for reservation_id, _ in changes],
        [c.old_status and stored(c.old_status) for _, c in changes],
        [stored(c.new_status) for _, c in changes],
        [c.changed_by for _, c in changes],
        [c.reason for _, c in changes],
        [c.changed_at for _, c in changes],
        [c.model_dump_json(include=DETAILS) for _, c in changes],
    )
    return Write("status_history.insert", SQL["insert"], columns, len(changes))
