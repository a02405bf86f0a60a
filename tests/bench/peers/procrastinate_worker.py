"""procrastinate: a job for each command in the same PostgreSQL, so many at a time; jobs of one reservation in order."""

import asyncio
import sys
from collections.abc import Sequence

import uvloop
from aiokafka import AIOKafkaProducer
from procrastinate import App, JobContext, PsycopgConnector

from tests.bench.peers.booking import Booking, UnreadableError
from tests.bench.peers.effect import book
from tests.bench.peers.surroundings import DATABASE_URL, Pool, a_pool, a_producer, set_aside, tell
from tests.bench.workload import Message

DEFERRED_TOGETHER = 1000
SPARE_CONNECTIONS = 2  # one listens, one for the worker's own beat


def app_of(database_url: str, connections: int) -> App:
    """Return an app that knows the task."""
    app = App(connector=PsycopgConnector(conninfo=database_url, min_size=connections, max_size=connections))
    app.task(name="handle", pass_context=True, retry=True)(handle)
    return app


async def handle(context: JobContext, key: str, value: str) -> None:
    """Do a command, and publish what came of it."""
    pool: Pool = context.additional_context["pool"]
    producer: AIOKafkaProducer = context.additional_context["producer"]

    async def send(topic: str, key: bytes, value: bytes) -> None:
        await producer.send_and_wait(topic, value, key)

    try:
        booking = Booking(value.encode())
    except UnreadableError:
        await set_aside(send, key.encode(), value.encode())
        return
    async with pool.acquire() as connection:
        told = await book(connection, booking)
    await tell(send, told)


async def defer(database_url: str, messages: Sequence[Message]) -> None:
    """Make procrastinate's tables, and a job of each message."""
    app = app_of(database_url, 1)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, len(messages), DEFERRED_TOGETHER):
            some = messages[start : start + DEFERRED_TOGETHER]
            jobs = [(each.key.decode(), {"key": each.key.decode(), "value": each.value.decode()}) for each in some]
            await app.job_manager.batch_defer_jobs_async(
                [app.tasks["handle"].configure(lock=lock).make_new_job(**arguments) for lock, arguments in jobs]
            )


async def run(concurrency: int) -> None:
    """Work until told to stop."""
    pool = await a_pool(concurrency)
    app = app_of(DATABASE_URL, concurrency + SPARE_CONNECTIONS)
    async with app.open_async(), a_producer() as producer:
        context = {"pool": pool, "producer": producer}
        await app.run_worker_async(concurrency=concurrency, additional_context=context)
    await pool.close()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(run(int(sys.argv[1])))
