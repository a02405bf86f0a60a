"""The participants table."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from reservations.models.identifiers import kin_range
from reservations.models.reservation import Participant, ParticipantDetails
from reservations.models.vocabulary import stored
from reservations.tables.statements import load
from reservations.tables.writes import Write

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("participants.sql")
DETAILS = set(ParticipantDetails.model_fields)


def participant_of(row: "Record") -> Participant:
    """Return the participant that a row makes."""
    return Participant(
        participant_id=row["participant_id"],
        guest_id=row["guest_id"],
        role=row["role"].upper(),
        waiver_signed=row["waiver_signed"],
        **orjson.loads(row["details"]),
    )


async def of_reservations(
    connection: "AnyConnection", reservation_ids: Collection[UUID]
) -> Mapping[UUID, list[Participant]]:
    """Return the participants of each reservation, in the order they were named."""
    parties: dict[UUID, list[Participant]] = defaultdict(list)
    if reservation_ids:
        span = kin_range(min(reservation_ids), max(reservation_ids))
        for row in await connection.fetch(SQL["of_reservations"], reservation_ids, *span):
            parties[row["reservation_id"]].append(participant_of(row))
    return parties


def insert(joined: Sequence[tuple[UUID, datetime, Participant]]) -> Write | None:
    """Return what inserts participants, each with its reservation's id and the time it joined."""
    if not joined:
        return None
    columns = (
        [p.participant_id for _, _, p in joined],
        [reservation_id for reservation_id, _, _ in joined],
        [p.guest_id for _, _, p in joined],
        [stored(p.role) for _, _, p in joined],
        [p.waiver_signed for _, _, p in joined],
        [at for _, at, _ in joined],
        [_details(p) for _, _, p in joined],
    )
    return Write("participants.insert", SQL["insert"], columns, len(joined))


def update(changed: Sequence[Participant]) -> Write | None:
    """Return what writes all that may change of participants."""
    if not changed:
        return None
    ids = [p.participant_id for p in changed]
    columns = (ids, [p.waiver_signed for p in changed], [_details(p) for p in changed])
    return Write("participants.update", SQL["update"], (min(ids), max(ids), *columns), len(changed))


def _details(participant: Participant) -> str:
    return participant.model_dump_json(include=DETAILS)
