"""A stock Faust agent, as its documentation shows one: an event, its transaction, its messages, the next event."""

import tempfile
from typing import Any

import faust

from tests.bench.peers.booking import Booking, UnreadableError
from tests.bench.peers.effect import book
from tests.bench.peers.surroundings import COMMANDS_TOPIC, GROUP, KAFKA, Pool, a_pool, set_aside, tell

COMMIT_EVERY_S = 0.5
FOLDER = tempfile.TemporaryDirectory(prefix="bench-faust-")  # Faust makes folders for tables, though it has none

app = faust.App(
    GROUP,
    broker=f"kafka://{KAFKA}",
    datadir=FOLDER.name,
    producer_acks=-1,
    broker_commit_interval=COMMIT_EVERY_S,
    topic_disable_leader=True,
)
commands = app.topic(COMMANDS_TOPIC, key_serializer="raw", value_serializer="raw")


async def send(topic: str, key: bytes, value: bytes) -> None:
    """Send a message, and wait for its acknowledgement."""
    sent = await app.topic(topic, key_serializer="raw", value_serializer="raw").send(key=key, value=value)
    await sent


@app.agent(commands)
async def handle(stream: Any) -> None:
    """Do each command as it comes."""
    pool = await a_pool(1)
    async for event in stream.events():
        await _do(pool, event)


async def _do(pool: Pool, event: Any) -> None:
    try:
        booking = Booking(event.value)
    except UnreadableError:
        await set_aside(send, event.key, event.value)
        return
    async with pool.acquire() as connection:
        told = await book(connection, booking)
    await tell(send, told)


if __name__ == "__main__":
    app.main()
