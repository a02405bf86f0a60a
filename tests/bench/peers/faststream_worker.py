"""FastStream on aiokafka, a message at a time: so many consumers in one group, each message acknowledged when done."""

import asyncio
import sys

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from tests.bench.peers.booking import Booking, UnreadableError
from tests.bench.peers.effect import book
from tests.bench.peers.surroundings import COMMANDS_TOPIC, GROUP, KAFKA, a_pool, set_aside, tell


async def run(workers: int) -> None:
    """Handle commands until told to stop."""
    pool = await a_pool(workers)
    broker = KafkaBroker(KAFKA, acks="all", logger=None)

    async def send(topic: str, key: bytes, value: bytes) -> None:
        await broker.publish(value, topic, key=key)

    @broker.subscriber(
        COMMANDS_TOPIC,
        group_id=GROUP,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        max_workers=workers,
        decoder=as_it_came,
    )
    async def handle(message: KafkaMessage) -> None:
        try:
            booking = Booking(message.body)
        except UnreadableError:
            await set_aside(send, message.raw_message.key, message.body)
            return
        async with pool.acquire() as connection:
            told = await book(connection, booking)
        await tell(send, told)

    await FastStream(broker, logger=None).run()
    await pool.close()


async def as_it_came(message: KafkaMessage) -> object:
    """Leave a message to the handler, which parses it once."""
    return message.body


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(run(int(sys.argv[1])))
