"""FastStream on aiokafka, a batch at a time: one transaction for it, acknowledged when all of it is published."""

import asyncio
import sys

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from tests.bench.peers.booking import Booking, UnreadableError
from tests.bench.peers.effect import book_all
from tests.bench.peers.faststream_worker import as_it_came
from tests.bench.peers.surroundings import COMMANDS_TOPIC, GROUP, KAFKA, Send, a_pool, set_aside, tell

BATCH_TIMEOUT_MS = 20


async def run(max_records: int) -> None:
    """Handle batches of commands until told to stop."""
    pool = await a_pool(1)
    broker = KafkaBroker(KAFKA, acks="all", logger=None)

    async def send(topic: str, key: bytes, value: bytes) -> None:
        await broker.publish(value, topic, key=key)

    @broker.subscriber(
        COMMANDS_TOPIC,
        group_id=GROUP,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        batch=True,
        max_records=max_records,
        batch_timeout_ms=BATCH_TIMEOUT_MS,
        decoder=as_it_came,
    )
    async def handle(message: KafkaMessage) -> None:
        bookings = await readable(message, send)
        async with pool.acquire() as connection:
            told = await book_all(connection, bookings)
        await asyncio.gather(*(tell(send, each) for each in told))

    await FastStream(broker, logger=None).run()
    await pool.close()


async def readable(message: KafkaMessage, send: Send) -> list[Booking]:
    """Return the bookings of a batch, when the rest is set aside."""
    bookings = []
    for record in message.raw_message:
        try:
            bookings.append(Booking(record.value))
        except UnreadableError:
            await set_aside(send, record.key, record.value)
    return bookings


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(run(int(sys.argv[1])))
