"""What a peer's worker is told by its environment, and the connections it makes of that."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg
from aiokafka import AIOKafkaProducer

from reservations.models.topics import COMMANDS, CREATED, DEAD_LETTERS, RESULTS
from tests.bench.peers.effect import Told

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
#: Sends a value to a topic under a key; what it returns is done when the broker has acknowledged it.
Send = Callable[[str, bytes, bytes], Awaitable[object]]

DATABASE_URL = os.environ.get("DATABASE_URL", "")
KAFKA = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
PREFIX = os.environ.get("KAFKA_TOPIC_PREFIX", "")
GROUP = f"{PREFIX}svc-reservations"
COMMANDS_TOPIC = PREFIX + COMMANDS.name


async def a_pool(size: int) -> Pool:
    """Return a connected pool that spares the round trip of asyncpg's reset: nothing here changes a session."""
    return await asyncpg.create_pool(DATABASE_URL, min_size=size, max_size=size, reset=_leave_as_it_is)


async def _leave_as_it_is(connection: object) -> None:
    """Do nothing."""


def a_producer() -> AIOKafkaProducer:
    """Return a producer that waits for all replicas; not yet started."""
    return AIOKafkaProducer(bootstrap_servers=KAFKA, acks="all")


async def tell(send: Send, told: Told) -> None:
    """Publish a command's events and its result, and wait for the broker."""
    events = [send(PREFIX + CREATED.name, told.key, event) for event in told.events]
    await asyncio.gather(*events, send(PREFIX + RESULTS.name, told.key, told.result))


async def set_aside(send: Send, key: bytes | None, value: bytes | None) -> None:
    """Publish a message that can't be read as a dead letter, and wait for the broker."""
    await send(PREFIX + DEAD_LETTERS.name, key or b"", value or b"")
