"""Waiting for what commands come to: every gateway reads the results topic and wakes whoever asked."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord

STOP_LIMIT_S = 2.0

Result = dict[str, Any]
Question = tuple[str, str]


class Replies:
    """The results of commands, as they come in; each is known by its command's id and fingerprint."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._waiting: dict[Question, list[asyncio.Future[Result]]] = defaultdict(list)
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read results from now on; return when the position in every partition is known."""
        await self._consumer.start()
        for partition in self._consumer.assignment():
            await self._consumer.position(partition)
        self._reading = asyncio.create_task(self._read())

    async def stop(self) -> None:
        """Stop reading, in good order if that does not take long."""
        stopping = [asyncio.create_task(self._consumer.stop())]
        if self._reading:
            self._reading.cancel()
            stopping.append(self._reading)
        await asyncio.wait(stopping, timeout=STOP_LIMIT_S)

    @property
    def is_reading(self) -> bool:
        """Whether results are being read."""
        return self._reading is not None and not self._reading.done()

    @contextmanager
    def expecting(self, command_id: UUID, fingerprint: UUID) -> Iterator[asyncio.Future[Result]]:
        """Give a future of the result; open this before the command is sent, so that no result comes too early."""
        question = (str(command_id), str(fingerprint))
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[question].append(future)
        try:
            yield future
        finally:
            self._waiting[question].remove(future)
            if not self._waiting[question]:
                del self._waiting[question]

    async def _read(self) -> None:
        async for record in self._consumer:
            if self._waiting:
                self._wake(record)

    def _wake(self, record: ConsumerRecord) -> None:
        try:
            result = orjson.loads(record.value)
            question = (result["command_id"], result["fingerprint"])
        except (ValueError, TypeError, KeyError):
            structlog.get_logger().warning("result_unreadable", partition=record.partition, offset=record.offset)
            return
        for future in self._waiting.get(question, ()):
            if not future.done():
                future.set_result(result)
