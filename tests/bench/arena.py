"""One run's database and topics: made for it, filled, and judged when the contestant is done."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from reservations.app.stack.programs import last_lines
from reservations.models.topics import COMMANDS
from tests.bench.ground import TEMPLATE, Ground
from tests.bench.workload import Workload
from tests.conditions import eventually
from tests.databases import Connection, beside, execute
from tests.service import complete

PARTITIONS = 12
DONE_LIMIT_S = 900
LOOKED_EVERY_S = 0.25
STOP_LIMIT_S = 20
COUNTS = """
SELECT
  (SELECT count(*) FROM reservations.reservations) AS reservations,
  (SELECT count(*) FROM reservations.participants) AS participants,
  (SELECT count(*) FROM reservations.status_history) AS changes,
  (SELECT coalesce(sum(_rev), 0) FROM reservations.reservations) AS revisions,
  (SELECT coalesce(sum(taken), 0) FROM reservations.trip_slots) AS seats
"""
SEED_SLOTS = """
INSERT INTO reservations.trip_slots (trip_id, trip_date, capacity)
SELECT * FROM unnest($1::uuid[], $2::date[], $3::integer[])
"""


Counts = Mapping[str, int]
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Before:
    """What was there before a contestant began, and until when that was made."""

    at: datetime = LONG_AGO
    counts: Counts = field(default_factory=dict)


async def count(connection: Connection) -> Counts:
    """Count what a contestant adds to."""
    counted = await connection.fetchrow(COUNTS)
    return dict(counted or {})


@dataclass
class Arena:
    """A database and topics of one run's own, and the processes that work on them."""

    database_url: str
    kafka: str
    topic_prefix: str
    folder: Path
    demands: Mapping[str, str]
    before: Before = Before()
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def group(self) -> str:
        """The consumer group that every contestant's workers join."""
        return f"{self.topic_prefix}svc-reservations"

    def topic(self, name: str) -> str:
        """Return the full name of a topic."""
        return f"{self.topic_prefix}{name}"

    def variables(self) -> dict[str, str]:
        """Return what a contestant's processes are told."""
        return {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "KAFKA_TOPIC_PREFIX": self.topic_prefix,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "RESERVATIONS_WORKER_HTTP_PORT": "0",
            "LOG_LEVEL": "warning",
            **self.demands,
            "KAFKA_FETCH_WAIT_MS": "20",
        }

    def launch(self, arguments: Sequence[str], python: Path) -> None:
        """Start `python -m arguments…` as a worker, its output in a log."""
        with self._log(len(self.processes)).open("wb") as output:
            command = [str(python), "-m", *arguments]
            environment = {**os.environ, **self.variables()}
            started = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.processes.append(started)

    def _log(self, place: int) -> Path:
        return self.folder / f"{self.topic_prefix}{place}.log"

    async def fill(self, workload: Workload) -> None:
        """Seed the seats, and put every message on the command topic."""
        connection = await asyncpg.connect(self.database_url)
        columns = zip(*((slot.trip_id, slot.trip_date, slot.capacity) for slot in workload.slots), strict=True)
        await connection.execute(SEED_SLOTS, *map(list, columns))
        await connection.close()
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=5) as producer:
            topic = self.topic(COMMANDS.name)
            sent = [await producer.send(topic, message.value, message.key) for message in workload.messages]
            await asyncio.gather(*sent)

    def check_alive(self) -> None:
        """Fail with the last words of workers that ended."""
        ended = [self._log(place) for place, process in enumerate(self.processes) if process.poll() is not None]
        assert not ended, "ended before its time: " + "; ".join(" ".join(last_lines(log)) for log in ended)

    async def all_committed(self, messages: int) -> None:
        """Wait until the group has committed every message of the command topic."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        partitions = [TopicPartition(self.topic(COMMANDS.name), number) for number in range(PARTITIONS)]

        async def committed() -> bool:
            self.check_alive()
            try:
                offsets = await admin.list_consumer_group_offsets(self.group, partitions=partitions)
            except KafkaError:
                return False  # there is no such group yet
            return messages <= sum(max(0, int(offset.offset)) for offset in offsets.values())

        try:
            await eventually(committed, limit_s=DONE_LIMIT_S, every_s=LOOKED_EVERY_S)
        finally:
            await admin.close()

    async def stop(self) -> None:
        """End every process, politely first."""
        for process in self.processes:
            process.terminate()
        await asyncio.gather(*(asyncio.to_thread(_end, process) for process in self.processes))
        self.processes.clear()


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@asynccontextmanager
async def an_arena(ground: Ground, grown: str | None = None) -> AsyncIterator[Arena]:
    """Give an arena on these servers; when the block ends its processes are gone, and its database, if it was made.

    `grown` is the address of a database that is there, and stays as the contestant leaves it.
    """
    name = f"run_{uuid4().hex[:8]}"
    async with _grown(grown) if grown else _made(ground, name) as (address, before):
        arena = Arena(address, ground.kafka.address, f"{name}.", ground.folder, ground.kafka.kafka_demands, before)
        try:
            await complete("topics", {**os.environ, **arena.variables()})
            yield arena
        finally:
            await arena.stop()


@asynccontextmanager
async def _made(ground: Ground, name: str) -> AsyncIterator[tuple[str, Before]]:
    await execute(ground.database_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    try:
        yield beside(ground.database_url, name), Before()
    finally:
        await execute(ground.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def _grown(address: str) -> AsyncIterator[tuple[str, Before]]:
    connection = await asyncpg.connect(address)
    try:
        counted, now = await count(connection), await connection.fetchval("SELECT now()")
    finally:
        await connection.close()
    yield address, Before(now, counted)
