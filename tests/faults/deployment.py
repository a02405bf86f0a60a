"""The service of one round: two workers and a gateway on a database and topics of their own."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from reservations.app.settings import Settings
from reservations.app.stack.home import free_port
from reservations.app.stack.programs import Program
from reservations.app.topics import ensure_topics
from tests.databases import beside, execute
from tests.faults.failpoints import Switches
from tests.faults.ground import TEMPLATE, Ground
from tests.faults.processes import Kept

GROUP = "svc-reservations"
PARTITIONS = 6
BOOKING = "novatrek.booking.reservation."
COMMANDS, BULK, RESULTS = f"{BOOKING}commands", f"{BOOKING}commands.bulk", f"{BOOKING}command-results"
CREATED, STATUS_CHANGED, DEAD_LETTERS = f"{BOOKING}created", f"{BOOKING}status-changed", f"{BOOKING}dead-letters"
PAYMENTS = "novatrek.support.payment.processed"
LANES = (COMMANDS, BULK, PAYMENTS)
TOPICS = (*LANES, RESULTS, CREATED, STATUS_CHANGED, DEAD_LETTERS)
WORKER = [sys.executable, "-m", "tests.faults.worker"]
GATEWAY = [sys.executable, "-m", "reservations.app.cli", "gateway"]
FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)


@dataclass
class Deployment:
    """The processes of the service, and ways to ask and tell them things that do not go through the proxies."""

    ground: Ground
    folder: Path
    prefix: str
    database: str
    session: aiohttp.ClientSession
    mutant: str
    switches: Switches
    gateway_url: str = ""
    workers: list[Kept] = field(default_factory=list)
    gateway: Kept | None = None
    started: int = 0

    @property
    def kafka(self) -> str:
        """Return the broker's address past the proxy."""
        return self.ground.kafka.address

    @property
    def direct_database(self) -> str:
        """Return the address of the round's database past the proxy."""
        return beside(self.ground.postgres.direct, self.database)

    def topic(self, name: str) -> str:
        """Return the name of a topic in this round."""
        return self.prefix + name

    def variables(self) -> dict[str, str]:
        """Return the settings of the processes."""
        return {
            "DATABASE_URL": beside(self.ground.postgres.proxied, self.database),
            "KAFKA_BOOTSTRAP_SERVERS": self.ground.kafka.proxy.address,
            "KAFKA_TOPIC_PREFIX": self.prefix,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_SESSION_TIMEOUT_S": "6",
            "KAFKA_REBALANCE_TIMEOUT_S": "4",
            "RESERVATIONS_WORKER_HTTP_PORT": "0",
            "AUTH": "off",
            "COMMAND_TIMEOUT_S": "3",
            "POOL_MIN_SIZE": "2",
            "POOL_MAX_SIZE": "10",
            "STATEMENT_TIMEOUT_S": "5",
            "LOG_LEVEL": "warning",
            "FAULT_SWITCHES": str(self.folder),
            "FAULT_MUTANT": self.mutant,
        }

    def new_worker(self, **changed: str) -> Kept:
        """Describe one more worker, with some settings changed."""
        port = free_port()
        kept = Kept(
            self._program("worker", WORKER, {"RESERVATIONS_WORKER_HTTP_PORT": str(port), **changed}),
            lambda: self._is_ready(f"http://127.0.0.1:{port}"),
        )
        self.workers.append(kept)
        return kept

    async def start(self) -> None:
        """Start two workers and a gateway; return when all are ready."""
        port = free_port()
        self.gateway_url = f"http://127.0.0.1:{port}"
        gateway = self._program("gateway", GATEWAY, {"RESERVATIONS_HTTP_PORT": str(port)})
        self.gateway = Kept(gateway, lambda: self._is_ready(self.gateway_url))
        await asyncio.gather(self.gateway.start(), *(self.new_worker().start() for _ in range(2)))

    async def stop(self) -> None:
        """End every process at once."""
        processes = [*self.workers, *([self.gateway] if self.gateway else [])]
        await asyncio.gather(*(process.stop(signal.SIGKILL) for process in processes))

    def _program(self, name: str, argv: list[str], changed: Mapping[str, str]) -> Program:
        self.started += 1
        label = f"{name}-{self.started}"
        environment = {**os.environ, **self.variables(), **changed}
        return Program(label, argv, environment, self.folder / f"{label}.log", cwd=Path.cwd())

    async def _is_ready(self, url: str) -> bool:
        try:
            async with self.session.get(f"{url}/health/ready", timeout=aiohttp.ClientTimeout(total=5)) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def cli(self, *arguments: str) -> str:
        """Run a command of the service, past the proxies; return what it printed."""
        direct = {"DATABASE_URL": self.direct_database, "KAFKA_BOOTSTRAP_SERVERS": self.kafka}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "reservations.app.cli", *arguments),
            env={**os.environ, **self.variables(), **direct},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def committed(self, group: str = GROUP) -> dict[TopicPartition, int]:
        """Return the offsets that a group committed, 0 where it committed none."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self.prefix + group, partitions=self.partitions())
        finally:
            await admin.close()
        return {tp: max(0, told.offset) for tp, told in found.items()}

    def partitions(self) -> list[TopicPartition]:
        """Return the partitions that workers read."""
        return [TopicPartition(self.topic(lane), n) for lane in LANES for n in range(PARTITIONS)]

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the ends of the partitions that workers read."""
        names = [self.topic(lane) for lane in LANES]  # given first: their metadata are asked for again and again
        consumer = AIOKafkaConsumer(*names, bootstrap_servers=self.kafka, enable_auto_commit=False)
        await consumer.start()
        try:
            found: dict[TopicPartition, int] = await consumer.end_offsets(self.partitions())
        finally:
            await consumer.stop()
        return found

    async def read_from_the_start(self) -> None:
        """Commit offset 0 in every partition; no worker may be in the group."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, group_id=self.prefix + GROUP, enable_auto_commit=False
        )
        consumer.assign(self.partitions())
        await consumer.start()
        try:
            await consumer.commit(dict.fromkeys(self.partitions(), 0))
        finally:
            await consumer.stop()


@asynccontextmanager
async def a_deployment(ground: Ground, folder: Path, name: str, mutant: str = "") -> AsyncIterator[Deployment]:
    """Give a deployment that runs; end it, and drop its database and topics."""
    folder.mkdir(parents=True)
    database, prefix = name.replace("-", "_"), f"{name}."
    await execute(ground.postgres.direct, f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
    settings = Settings(
        kafka_bootstrap_servers=ground.kafka.address, kafka_topic_prefix=prefix, kafka_partitions=PARTITIONS
    )
    await ensure_topics(settings)
    async with aiohttp.ClientSession() as session:
        made = Deployment(ground, folder, prefix, database, session, mutant, Switches(folder))
        try:
            await made.start()
            yield made
        finally:
            await made.stop()
            await ground.restore()
            await execute(ground.postgres.direct, f"DROP DATABASE {database} WITH (FORCE)")
            await _delete_topics(made)


async def _delete_topics(deployment: Deployment) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.kafka)
    await admin.start()
    try:
        await admin.delete_topics([deployment.topic(name) for name in TOPICS])
    finally:
        await admin.close()


def faketime() -> str | None:
    """Return the library that shifts a process's clock, if this machine has it."""
    found = [path for path in FAKETIME if Path(path).exists()]
    return found[0] if found and shutil.which("faketime") else None
