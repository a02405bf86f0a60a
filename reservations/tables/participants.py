"""The participants table."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from reservations.models.identifiers import kin_range
from reservations.models.reservation import Participant, ParticipantDetails
from reservations.models.vocabulary import stored
from reservations.tables.round_trips import Read, Write
from reservations.tables.statements import load

SQL = load("participants.sql")
DETAILS = set(ParticipantDetails.model_fields)


def of_reservations(reservation_ids: Collection[UUID]) -> Read[Mapping[UUID, list[Participant]]]:
    """Return what reads the participants of each reservation, in the order they were named."""
    span = kin_range(min(reservation_ids), max(reservation_ids)) if reservation_ids else ()
    arguments = (reservation_ids, *span)
    return Read(
        "participants.of_reservations", SQL["of_reservations"], arguments, _parties_of, is_needed=bool(reservation_ids)
    )


def _parties_of(rows: Sequence[Any]) -> Mapping[UUID, list[Participant]]:
    parties: dict[UUID, list[Participant]] = defaultdict(list)
    for reservation_id, participant_id, guest_id, role, waiver_signed, details in rows:
        guest = Participant(
            participant_id=participant_id,
            guest_id=guest_id,
            role=role.upper(),
            waiver_signed=waiver_signed,
            **orjson.loads(details),
        )
        parties[reservation_id].append(guest)
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
