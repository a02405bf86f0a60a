"""The ledger of a drill: every command as it was sent, what was answered, in the order in which answers came."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from reservations.models.commands import COMMANDS, Command, wire

CREATE = "reservation.create"


@dataclass(frozen=True, slots=True)
class Answered:
    """A command and its result, as both travel."""

    message: bytes
    result: str

    @property
    def command(self) -> Command:
        """The command, read as a worker reads it."""
        return COMMANDS.validate_json(self.message)

    def told(self) -> Mapping[str, Any]:
        """Return what the result says."""
        told: Mapping[str, Any] = orjson.loads(self.result)
        return told


@dataclass
class Ledger:
    """What was sent and answered; what was sent and never answered may have been committed or not."""

    answered: list[Answered] = field(default_factory=list)
    _open: dict[UUID, bytes] = field(default_factory=dict)

    def send(self, commands: Iterable[Command]) -> None:
        """Note what is about to be sent."""
        self._open.update((command.command_id, wire(command)) for command in commands)

    def answer(self, command: Command, result: str) -> None:
        """Note what was answered: so it is committed."""
        self.answered.append(Answered(self._open.pop(command.command_id), result))

    @property
    def unanswered(self) -> Sequence[bytes]:
        """The commands that were never answered."""
        return list(self._open.values())


def ids_drawn(answered: Iterable[Answered]) -> set[UUID]:
    """Return the ids of reservations that the worker drew itself: sent again, a create gets another one."""
    told = [each.told() for each in answered if each.command.reservation_id is None]
    return {UUID(each["reservation_id"]) for each in told if each["reservation_id"]}
