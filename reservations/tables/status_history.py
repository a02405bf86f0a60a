"""The status history table: who moved a reservation, when and why."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from reservations.models.events import Announcement, announcement_in
from reservations.models.identifiers import kin_range
from reservations.models.reservation import StatusChange
from reservations.models.vocabulary import stored
from reservations.tables.statements import load

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("status_history.sql")
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


async def told_since(connection: "AnyConnection", since: Mapping[UUID, int]) -> Mapping[UUID, Sequence[Announcement]]:
    """Return the events of reservations from a revision on, as they were published, in the order of their revisions."""
    told: dict[UUID, list[Announcement]] = defaultdict(list)
    if since:
        span = kin_range(min(since), max(since))
        for row in await connection.fetch(SQL["told_since"], list(since), list(since.values()), *span):
            told[row["reservation_id"]].append(announcement_in(row["publications"], row["history_id"]))
    return told


async def insert(connection: "AnyConnection", changes: Sequence[tuple[UUID, StatusChange]]) -> None:
    """Insert changes, each with its reservation's id."""
    if changes:
        await connection.execute(
            SQL["insert"],
            [c.history_id for _, c in changes],
            [reservation_id for reservation_id, _ in changes],
            [c.old_status and stored(c.old_status) for _, c in changes],
            [stored(c.new_status) for _, c in changes],
            [c.changed_by for _, c in changes],
            [c.reason for _, c in changes],
            [c.changed_at for _, c in changes],
            [c.model_dump_json(include=DETAILS) for _, c in changes],
        )
