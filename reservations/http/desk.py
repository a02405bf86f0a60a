"""The command desk: puts a command on its topic and waits for what it comes to."""

import asyncio
from typing import TYPE_CHECKING

import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from reservations.http.pressure import Pressure
from reservations.http.problems import problem, problem_for_now
from reservations.http.replies import Replies, Result
from reservations.http.tracing import Trace
from reservations.models.commands import Command, fingerprint, wire
from reservations.models.errors import ErrorCode
from reservations.models.topics import COMMANDS
from reservations.tables import inbox

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

PRODUCE_TIMEOUT_S = 5.0
OVERLOADED = "Too many changes wait to be made; repeat the request after as many seconds as Retry-After says."


class CommandDesk:
    """Sends commands to the broker. It never writes to the database."""

    def __init__(
        self, producer: AIOKafkaProducer, replies: Replies, reader: "AnyPool", topic_prefix: str, pressure: Pressure
    ) -> None:
        self._producer = producer
        self._replies = replies
        self._reader = reader
        self._topic = topic_prefix + COMMANDS.name
        self._pressure = pressure

    async def submit(self, command: Command, trace: Trace, limit_s: float) -> Result | None:
        """Send a command; return its result, or None when it is still not there after so many seconds.

        Raises:
            ProblemError: too many commands wait, or the broker did not take it.

        """
        if self._pressure.is_over:
            raise problem_for_now(ErrorCode.OVERLOADED, OVERLOADED, self._pressure.wait_s())
        with self._replies.expecting(command.command_id, fingerprint(command)) as reply:
            await self._send(command, trace)
            if limit_s <= 0:
                return None
            try:
                async with asyncio.timeout(limit_s):
                    return await reply
            except TimeoutError:
                return await self._look_up(command)

    async def _send(self, command: Command, trace: Trace) -> None:
        key, value = str(command.reservation_id or command.command_id).encode(), wire(command)
        headers = [("content-type", b"application/json"), ("traceparent", trace.traceparent.encode())]
        try:
            async with asyncio.timeout(PRODUCE_TIMEOUT_S):
                await self._producer.send_and_wait(self._topic, key=key, value=value, headers=headers)
        except (KafkaError, TimeoutError, OSError) as error:
            structlog.get_logger().warning("broker_away", error=type(error).__name__)
            raise problem(
                ErrorCode.BROKER_UNAVAILABLE,
                "Changes can't be taken now; repeat the request with the same Idempotency-Key.",
            ) from None

    async def _look_up(self, command: Command) -> Result | None:
        """Look in the inbox, in case the result was published while the broker was away from here."""
        try:
            async with self._reader.acquire(timeout=1) as connection:
                outcome = await inbox.outcome_of(connection, command.command_id)
        except Exception as error:
            structlog.get_logger().warning("inbox_unreadable", error=type(error).__name__)
            return None
        result: Result | None = orjson.loads(outcome) if outcome else None
        return result if result and result["fingerprint"] == str(fingerprint(command)) else None
