"""The doctor's booking over Kafka: broker, worker, database, events and results."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from reservations.app.doctor.booking import CANCELLATION, ISSUED_BY, Booking, refused, unanswered
from reservations.app.doctor.findings import Finding, Stopwatch, ok, wrong
from reservations.app.logins import LoginRefusedError
from reservations.app.sending import Answer, Sender, sending
from reservations.app.settings import Settings
from reservations.app.topics import TopicsError
from reservations.models.commands import COMMANDS as COMMAND_TYPES
from reservations.models.commands import Command
from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.topics import COMMANDS

BROKER_CURE = "Cure what is found of the broker."
RIGHTS_CURE = "Examine with the operator's login: `reservations acls` gives it the rights to book and hear the result."


async def walk(settings: Settings, booking: Booking, limit_s: float) -> list[Finding]:
    """Book and cancel under an id of the doctor's own: both are under one key, so nothing stays, however late."""
    try:
        async with AsyncExitStack() as stack:
            sender = await stack.enter_async_context(sending(settings, COMMANDS))
            return await _KafkaPath(sender, booking, limit_s).walk()
    except (TopicsError, LoginRefusedError, KafkaError, OSError, TimeoutError) as error:
        seen = f"could not be sent ({error or type(error).__name__})"
        cure = RIGHTS_CURE if isinstance(error, TopicAuthorizationFailedError) else BROKER_CURE
        return [wrong("booking.kafka", seen, cure)]


def _now_id() -> UUID:
    return uuid7(unix_ms(datetime.now(UTC)))


@dataclass(slots=True)
class _KafkaPath:
    """Books and cancels with one sender."""

    sender: Sender
    booking: Booking
    limit_s: float
    reservation_id: UUID = field(default_factory=_now_id)

    async def walk(self) -> list[Finding]:
        """Take both steps, whatever comes of the first."""
        create = self._command("reservation.create", dict(self.booking.payload()))
        cancel = self._command("reservation.cancel", {"reason": CANCELLATION})
        watch = Stopwatch()
        created = self._found("booking.create", await self.sender.ask(create, self.limit_s), watch)
        if created.cure:
            async with asyncio.timeout(self.limit_s):
                await self.sender.send(cancel)  # in case it is only late
            return [created]
        return [created, self._found("booking.cancel", await self.sender.ask(cancel, self.limit_s), watch)]

    def _command(self, kind: str, payload: dict[str, Any]) -> Command:
        return COMMAND_TYPES.validate_python(
            {
                "command_id": uuid4(),
                "type": kind,
                "issued_at": datetime.now(UTC),
                "issued_by": ISSUED_BY,
                "reservation_id": self.reservation_id,
                "payload": payload,
            },
            strict=False,
        )

    def _found(self, check: str, answer: Answer, watch: Stopwatch) -> Finding:
        if answer.trouble:
            return wrong(check, answer.trouble, BROKER_CURE)
        if answer.result is None:
            return unanswered(check, self.limit_s)
        error = answer.result["error"]
        if error:
            return refused(check, error["code"], error["message"])
        return ok(check, answer.result["reservation"]["status"], watch.lap())
