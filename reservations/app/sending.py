"""Sending commands as an operator, and waiting for what they come to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from reservations.app.kafka import producer, results_consumer
from reservations.app.settings import Settings
from reservations.app.topics import TopicsError, missing_topics
from reservations.http.replies import Replies, Result
from reservations.models.commands import Command, fingerprint, wire
from reservations.models.results import OutcomeKind
from reservations.models.topics import RESULTS, Topic

START_LIMIT_S = 15.0
SEND_LIMIT_S = 10.0
JSON = [("content-type", b"application/json")]

#: Is told how many of how many commands have been sent, or answered.
Progress = Callable[[str, int, int], None]


class Ending(IntEnum):
    """How it went with a command; the number is the exit status."""

    APPLIED = 0
    NOT_SENT = 1
    REJECTED = 2
    DEAD_LETTERED = 3
    NO_RESULT = 4


_ENDINGS = {
    OutcomeKind.APPLIED: Ending.APPLIED,
    OutcomeKind.REJECTED: Ending.REJECTED,
    OutcomeKind.DEAD_LETTERED: Ending.DEAD_LETTERED,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A command, its result if one came, and why it could not be sent, if so."""

    command: Command
    result: Result | None = None
    trouble: str | None = None

    @property
    def ending(self) -> Ending:
        """How it went."""
        if self.trouble:
            return Ending.NOT_SENT
        return _ENDINGS[OutcomeKind(self.result["outcome"])] if self.result else Ending.NO_RESULT


@dataclass(slots=True)
class Sender:
    """Sends commands in one lane, and hears what they come to."""

    producer: AIOKafkaProducer
    replies: Replies
    topic: str

    async def send(self, command: Command) -> None:
        """Send a command; return when the broker has it.

        Raises:
            KafkaError, TimeoutError: it may be there or not; the same command_id may be sent again.

        """
        key = str(command.reservation_id or command.command_id).encode()
        async with asyncio.timeout(SEND_LIMIT_S):
            await self.producer.send_and_wait(self.topic, wire(command), key, headers=JSON)

    async def ask(self, command: Command, limit_s: float) -> Answer:
        """Send a command and wait for its result."""
        (answer,) = await self.ask_all([command], limit_s)
        return answer

    async def ask_all(
        self, commands: Sequence[Command], limit_s: float, progress: Progress = lambda *_: None
    ) -> list[Answer]:
        """Send commands in their order, and wait for the results of all, so long after the last was sent."""
        with ExitStack() as stack:
            expected = [
                stack.enter_context(self.replies.expecting(each.command_id, fingerprint(each))) for each in commands
            ]
            trouble = await self._send_all(commands, progress)
            sent = len(commands) if trouble is None else trouble[0]
            await _gathered(expected[:sent], limit_s, progress)
            results = [each.result() if each.done() else None for each in expected]
        return [
            Answer(command, result, trouble[1] if trouble and number >= sent else None)
            for number, (command, result) in enumerate(zip(commands, results, strict=True))
        ]

    async def _send_all(self, commands: Sequence[Command], progress: Progress) -> tuple[int, str] | None:
        """Send until one fails; return which did, and why."""
        for number, command in enumerate(commands):
            try:
                await self.send(command)
            except (KafkaError, TimeoutError, OSError) as error:
                return number, f"the broker did not take it ({type(error).__name__}); send it again as it is"
            progress("sent", number + 1, len(commands))
        return None


async def _gathered(expected: Sequence["asyncio.Future[Any]"], limit_s: float, progress: Progress) -> None:
    """Wait for results, so long and no longer."""
    waiting, deadline = set(expected), monotonic() + limit_s
    while waiting and (left_s := deadline - monotonic()) > 0:
        _, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        progress("answered", len(expected) - len(waiting), len(expected))


@asynccontextmanager
async def sending(settings: Settings, lane: Topic) -> AsyncIterator[Sender]:
    """Give a sender; results are heard from now on.

    Raises:
        TopicsError: a topic is missing.
        LoginRefusedError: the broker does not let this process in.
        KafkaError, TimeoutError: the broker is away.

    """
    replies, client = Replies(results_consumer(settings)), producer(settings, may_repeat=True)
    try:
        async with asyncio.timeout(START_LIMIT_S):
            missing = await missing_topics(settings, [lane, RESULTS])  # asking for a topic may make it
            if missing:
                raise TopicsError(
                    f"{', '.join(missing)} missing: run `reservations topics`; is KAFKA_TOPIC_PREFIX right? "
                    "A broker does not show topics to who has no rights to them; `reservations acls` lists the rights."
                )
            await replies.start()
            await client.start()
        yield Sender(client, replies, settings.kafka_topic_prefix + lane.name)
    finally:
        await replies.stop()
        await client.stop()
