"""Sending the whole command log again after a restore: what was restored answers, what was lost takes effect."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import orjson

from reservations.agents.engine import Engine
from reservations.app.drill.ledger import CREATE, Answered, ids_drawn
from reservations.models.commands import COMMANDS
from reservations.models.errors import ErrorCode
from reservations.models.results import OutcomeKind
from reservations.models.worksheet import Outcome

BATCH_SIZE = 200

T = TypeVar("T")


@dataclass
class Resent:
    """What came of it.

    `renamed` bookings took effect under another id and code than their guests were told: where a create has no id, the
    worker draws one. `refused` commands are about such a booking: they name an id that is no more.
    """

    replayed: int = 0
    applied: int = 0
    renamed: int = 0
    refused: int = 0
    answered: list[Answered] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


async def resend(
    engine: Engine, restored: Sequence[Answered], lost: Sequence[Answered], unanswered: Sequence[bytes]
) -> Resent:
    """Send every command again, in its order; what was never answered comes last."""
    resent = Resent()
    for entries in _batches(restored):
        for entry, outcome in zip(entries, await _apply(engine, [each.message for each in entries]), strict=True):
            _see_replay(resent, entry, outcome)
    gone = ids_drawn(lost)
    for messages in _batches([*(each.message for each in lost), *unanswered]):
        for message, outcome in zip(messages, await _apply(engine, messages), strict=True):
            _see_effect(resent, message, outcome, gone)
    return resent


async def _apply(engine: Engine, messages: Sequence[bytes]) -> list[Outcome]:
    return await engine.apply(list(map(COMMANDS.validate_json, messages)))


def _see_replay(resent: Resent, entry: Answered, outcome: Outcome) -> None:
    """Expect the first answer again, marked as such."""
    resent.replayed += outcome.replayed
    if outcome.result is None or orjson.loads(outcome.result) != {**entry.told(), "replayed": True}:
        resent.differences.append(f"command {outcome.command.command_id} was restored, but is answered differently")


def _see_effect(resent: Resent, message: bytes, outcome: Outcome, gone: Set[UUID]) -> None:
    """Expect an effect, but not on a booking that came to have another id."""
    command = outcome.command
    resent.answered.append(Answered(message, outcome.result or "null"))
    if outcome.kind is OutcomeKind.APPLIED and not outcome.replayed:
        resent.applied += 1
        resent.renamed += command.type == CREATE and command.reservation_id is None
    elif command.reservation_id in gone and outcome.code is ErrorCode.RESERVATION_NOT_FOUND:
        resent.refused += 1
    else:
        how = "is answered as if it had been restored" if outcome.replayed else f"is refused with {outcome.code}"
        resent.differences.append(f"command {command.command_id} was lost, but sent again it {how}")


def _batches(entries: Sequence[T]) -> list[Sequence[T]]:
    return [entries[start : start + BATCH_SIZE] for start in range(0, len(entries), BATCH_SIZE)]
