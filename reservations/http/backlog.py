"""Watching how many commands wait on the command topic for the workers."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from reservations.http.pressure import Pressure

LOOK_LIMIT_S = 10.0
STOP_LIMIT_S = 2.0
REQUEST_TIMEOUT_MS = 5_000


class BacklogWatch:
    """Looks every few seconds how many commands a group has not committed; clients that fail are made anew."""

    def __init__(self, brokers: Mapping[str, Any], topic: str, group: str, pressure: Pressure, every_s: float) -> None:
        """Keep how clients reach the brokers (aiokafka's options), and what is looked at; nothing is started."""
        self._brokers = brokers
        self._topic = topic
        self._group = group
        self._pressure = pressure
        self._every_s = every_s
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch from now on, whether or not the broker is there."""
        self._watching = asyncio.create_task(self._watch(), name="backlog")

    async def stop(self) -> None:
        """Watch no more."""
        if self._watching:
            self._watching.cancel()
            await asyncio.wait({self._watching}, timeout=STOP_LIMIT_S)

    async def _watch(self) -> None:
        try:
            while True:
                await self._try_to_look()
                await asyncio.sleep(self._every_s)
        finally:
            self._pressure.lose_sight()  # nobody is refused for what nobody looks at any more

    async def _try_to_look(self) -> None:
        try:
            await self._look_again_and_again()
        except (KafkaError, OSError, TimeoutError) as error:
            self._pressure.lose_sight()
            structlog.get_logger().warning("backlog_unknown", error=type(error).__name__)
        except Exception:
            self._pressure.lose_sight()
            structlog.get_logger().exception("backlog_watch_failed")

    async def _look_again_and_again(self) -> None:
        async with self._clients() as (admin, consumer):
            while True:
                await self._look(admin, consumer)
                await asyncio.sleep(self._every_s)

    async def _look(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(LOOK_LIMIT_S):
            waiting = await backlog(admin, consumer, self._topic, self._group)
        was_over = self._pressure.is_over
        self._pressure.see(waiting, monotonic())
        if self._pressure.is_over != was_over:
            structlog.get_logger().warning("overloaded", over=self._pressure.is_over, backlog=waiting)

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[AIOKafkaAdminClient, AIOKafkaConsumer]]:
        where = {**self._brokers, "request_timeout_ms": REQUEST_TIMEOUT_MS}
        admin, consumer = AIOKafkaAdminClient(**where), AIOKafkaConsumer(group_id=None, **where)
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                await admin.start()
                await consumer.start()
            yield admin, consumer
        finally:
            await consumer.stop()
            await admin.close()


async def backlog(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, topic: str, group: str) -> int:
    """Return how many records of a topic a group has not committed; where it has committed nothing, all count."""
    (described,) = await admin.describe_topics([topic])
    partitions = [TopicPartition(topic, each["partition"]) for each in described["partitions"]]
    _follow(consumer, partitions)
    committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
    begins = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    done = {tp: max(begins[tp], committed[tp].offset if tp in committed else 0) for tp in partitions}
    return sum(max(0, ends[tp] - done[tp]) for tp in partitions)


def _follow(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
    """Let the consumer learn who leads the partitions, and read nothing from them."""
    if consumer.assignment() != set(partitions):
        consumer.assign(partitions)
        consumer.pause(*partitions)
