"""DBOS: its Kafka consumer makes a durable workflow of each command, with one step that does and tells it.

A step is tried again when it fails, and the effect knows what it did before: so once in effect.
"""

import asyncio
import signal
import sys
import threading

import uvloop
from aiokafka import AIOKafkaProducer
from dbos import DBOS, DBOSConfig, KafkaMessage

from tests.bench.peers.booking import Booking, UnreadableError
from tests.bench.peers.effect import book
from tests.bench.peers.surroundings import (
    COMMANDS_TOPIC,
    DATABASE_URL,
    GROUP,
    KAFKA,
    Pool,
    a_pool,
    a_producer,
    set_aside,
    tell,
)

POLLING_INTERVAL_S = 0.01
CONNECTIONS = 16
ORDERING = sys.argv[1]


class Connections:
    """The pool and the producer, made on the loop that DBOS runs workflows on."""

    def __init__(self) -> None:
        self._making: asyncio.Task[tuple[Pool, AIOKafkaProducer]] | None = None

    async def made(self) -> tuple[Pool, AIOKafkaProducer]:
        """Return them, connected."""
        if self._making is None:
            self._making = asyncio.ensure_future(self._make())
        return await self._making

    async def _make(self) -> tuple[Pool, AIOKafkaProducer]:
        producer = a_producer()
        await producer.start()
        return await a_pool(CONNECTIONS), producer


connections = Connections()
config: DBOSConfig = {
    "name": "bench",
    "system_database_url": DATABASE_URL,
    "sys_db_pool_size": CONNECTIONS,
    "kafka_queue_polling_interval_sec": POLLING_INTERVAL_S,
    "log_level": "WARNING",
}


@DBOS.step(retries_allowed=True)
async def do(key: bytes, value: bytes) -> None:
    """Do a command, and publish what came of it."""
    pool, producer = await connections.made()

    async def send(topic: str, key: bytes, value: bytes) -> None:
        await producer.send_and_wait(topic, value, key)

    try:
        booking = Booking(value)
    except UnreadableError:
        await set_aside(send, key, value)
        return
    async with pool.acquire() as connection:
        told = await book(connection, booking)
    await tell(send, told)


@DBOS.kafka_consumer({"bootstrap.servers": KAFKA, "group.id": GROUP}, [COMMANDS_TOPIC], ordering=ORDERING)
@DBOS.workflow()
async def handle(message: KafkaMessage) -> None:
    """Handle one command."""
    await do(message.key, message.value)


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    DBOS(config=config)
    DBOS.launch()
    ended.wait()
    DBOS.destroy()
