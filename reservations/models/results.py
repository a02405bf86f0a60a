"""What a command came to: the message on the results topic, kept in the inbox to answer a repetition alike."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from reservations.models.commands import AnyCommand
from reservations.models.commands import fingerprint as fingerprint_of
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.reservation import HIDDEN, Reservation, View
from reservations.models.steps import Applied


class OutcomeKind(StrEnum):
    """How a command ended."""

    APPLIED = "applied"
    REJECTED = "rejected"
    DEAD_LETTERED = "dead_lettered"
    PARKED = "parked"


class Problem(View):
    """Why a command was not applied."""

    code: ErrorCode
    message: str
    details: Annotated[Mapping[str, Any], Field(default_factory=dict)]


class CommandResult(View):
    """The outcome of a command."""

    command_id: UUID
    type: str | None
    outcome: OutcomeKind
    replayed: bool = False
    """True when the command had been handled before: this is what was answered then, nothing was done again."""
    fingerprint: UUID | None
    """A hash of what was asked: tells a repetition from another request under the same command_id."""
    reservation_id: UUID | None = None
    reservation: Reservation | None = None
    """The resulting reservation, when applied."""
    participant_id: UUID | None = None
    """Who was added, when someone was."""
    error: Problem | None = None
    """Why not, when not applied."""
    completed_at: AwareDatetime

    def shown(self) -> str:
        """Return the JSON that is published."""
        return self.model_dump_json(exclude={"reservation": HIDDEN})


def result_of(command: AnyCommand, fingerprint: UUID, decision: Applied | Rejected, now: datetime) -> CommandResult:
    """Return the result that tells of a decision."""
    if isinstance(decision, Applied):
        return CommandResult(
            command_id=command.command_id,
            type=command.type,
            outcome=OutcomeKind.APPLIED,
            fingerprint=fingerprint,
            reservation_id=decision.reservation.reservation_id,
            reservation=decision.reservation,
            participant_id=_added(command, decision.reservation),
            completed_at=now,
        )
    return refusal_of(command, fingerprint, decision, now)


def _added(command: AnyCommand, reservation: Reservation) -> UUID | None:
    return reservation.participants[-1].participant_id if command.type == "participant.add" else None


def refusal_of(command: AnyCommand, fingerprint: UUID, rejected: Rejected, now: datetime) -> CommandResult:
    """Return the result that tells why a command was refused."""
    return CommandResult(
        command_id=command.command_id,
        type=command.type,
        outcome=OutcomeKind.REJECTED,
        fingerprint=fingerprint,
        reservation_id=command.reservation_id,
        error=_problem(rejected),
        completed_at=now,
    )


def set_aside(command_id: UUID, rejected: Rejected, now: datetime, command: AnyCommand | None = None) -> CommandResult:
    """Return the result of a message that went to the dead letters; the command, if it could be read at all."""
    return CommandResult(
        command_id=command_id,
        type=command.type if command else None,
        outcome=OutcomeKind.DEAD_LETTERED,
        fingerprint=fingerprint_of(command) if command else None,
        reservation_id=command.reservation_id if command else None,
        error=_problem(rejected),
        completed_at=now,
    )


def _problem(rejected: Rejected) -> Problem:
    return Problem(code=rejected.code, message=rejected.message, details=rejected.details)
