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


async def insert(connection: "AnyConnection", joined: Sequence[tuple[UUID, datetime, Participant]]) -> None:
    """Insert participants, each with its reservation's id and the time it joined."""
    if joined:
        await connection.execute(
            SQL["insert"],
            [p.participant_id for _, _, p in joined],
            [reservation_id for reservation_id, _, _ in joined],
            [p.guest_id for _, _, p in joined],
            [stored(p.role) for _, _, p in joined],
            [p.waiver_signed for _, _, p in joined],
            [at for _, at, _ in joined],
            [_details(p) for _, _, p in joined],
        )


async def update(connection: "AnyConnection", changed: Sequence[Participant]) -> None:
    """Write what may change of a participant."""
    if changed:
        ids = [p.participant_id for p in changed]
        await connection.execute(
            SQL["update"],
            min(ids),
            max(ids),
            ids,
            [p.waiver_signed for p in changed],
            [_details(p) for p in changed],
        )


def _details(participant: Participant) -> str:
    return participant.model_dump_json(include=DETAILS)
