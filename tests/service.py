"""The service as its users meet it: worker and gateway processes on a database and topics of their own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from reservations.models.topics import COMMANDS
from tests.conditions import eventually

START_LIMIT_S = 30
STOP_LIMIT_S = 15
HEAR_LIMIT_S = 20


@dataclass(slots=True)
class Process:
    """A process of the service, with its log."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines that are objects."""
        return [json.loads(line) for line in self.raw_lines() if line.startswith("{")]

    def raw_lines(self) -> list[str]:
        """Return the log lines; the last one is left out while it is half written."""
        return self.log.read_text().rpartition("\n")[0].splitlines()

    def url(self) -> str | None:
        """Return where it listens, once it does."""
        return next((str(line["url"]) for line in self.lines() if line["event"] == "listening"), None)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; return the exit status."""
        return await asyncio.to_thread(self.popen.wait, STOP_LIMIT_S)

    async def stop(self) -> int:
        """End it politely; return the exit status."""
        if self.popen.poll() is None:
            self.send(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """End it as a crash would."""
        self.send(signal.SIGKILL)
        await self.ended()


@dataclass(slots=True)
class Listener:
    """Hears what is put on topics from a moment on."""

    consumer: AIOKafkaConsumer
    heard: list[ConsumerRecord] = field(default_factory=list)

    async def until(self, enough: Callable[[list[ConsumerRecord]], bool], limit_s: float = HEAR_LIMIT_S) -> None:
        """Listen until what was heard is enough; fail when it is not within the limit."""

        async def listen() -> bool:
            for records in (await self.consumer.getmany(timeout_ms=20)).values():
                self.heard += records
            return enough(self.heard)

        await eventually(listen, limit_s=limit_s)


@dataclass(slots=True)
class Service:
    """Processes of the service, and clients to talk to them."""

    database_url: str
    kafka: str
    topic_prefix: str
    folder: Path
    session: aiohttp.ClientSession
    producer: AIOKafkaProducer
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    gateway_url: str = ""
    program: Sequence[str] = (sys.executable, "-m", "reservations.app.cli")

    async def start(self, name: str) -> Process:
        """Start `worker` or `gateway`; return when it is ready."""
        process = self.launch(name)
        await self.ready(process)
        return process

    def launch(self, name: str) -> Process:
        """Start `worker` or `gateway`; return at once."""
        log = self.folder / f"{name}-{len(self.processes)}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*self.program, name],
                env={**os.environ, **self.variables()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    def variables(self) -> dict[str, str]:
        """Return the settings of the processes."""
        return {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "KAFKA_TOPIC_PREFIX": self.topic_prefix,
            "KAFKA_PARTITIONS": "4",
            "KAFKA_SESSION_TIMEOUT_S": "6",
            "KAFKA_REBALANCE_TIMEOUT_S": "2",
            "AUTH": "off",
            "RESERVATIONS_HTTP_PORT": "0",
            "RESERVATIONS_WORKER_HTTP_PORT": "0",
            "POOL_MIN_SIZE": "2",
            "POOL_MAX_SIZE": "10",
            **self.environment,
        }

    async def ready(self, process: Process) -> None:
        """Wait until a process is ready, and keep the gateway's address."""

        async def look() -> bool:
            assert process.popen.poll() is None, process.log.read_text()[-3000:]
            url = process.url()
            return url is not None and (await self.ask("GET", f"{url}/health/ready"))[0] == 200

        await eventually(look, limit_s=START_LIMIT_S)
        if process.name == "gateway":
            self.gateway_url = str(process.url())

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Send a request to a path of the gateway, or to a whole address; return status, JSON (or text), headers."""
        address = path if urlsplit(path).scheme else self.gateway_url + path
        try:
            async with self.session.request(method, address, **options) as response:
                body = await response.text()
                is_json = response.content_type == "application/json" and body
                return response.status, json.loads(body) if is_json else body, response.headers.copy()
        except aiohttp.ClientConnectionError:
            return 0, None, {}

    async def send(
        self, value: bytes | None, key: bytes | None = None, topic: str = COMMANDS.name, **options: Any
    ) -> None:
        """Put a message on a topic; return when the broker has it."""
        await self.producer.send_and_wait(self.topic_prefix + topic, value, key, **options)

    async def read(self, topic: str) -> list[ConsumerRecord]:
        """Return every message of a topic."""
        async with self._consuming(topic, since="earliest") as consumer:
            return await _read_all(consumer)

    @asynccontextmanager
    async def listening(self, *topics: str) -> AsyncIterator[Listener]:
        """Give a listener to what is put on topics from now on; it may hear the end of what was there before, too."""
        async with self._consuming(*topics, since="latest") as consumer:
            for partition in consumer.assignment():
                await consumer.position(partition)
            yield Listener(consumer)

    @asynccontextmanager
    async def _consuming(self, *topics: str, since: str) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            *(self.topic_prefix + topic for topic in topics),
            bootstrap_servers=self.kafka,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset=since,
            fetch_max_wait_ms=20,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


async def _read_all(consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
    ends = await consumer.end_offsets(consumer.assignment())
    assert ends, "no partitions"
    records: list[ConsumerRecord] = []
    for partition, end in ends.items():
        while await consumer.position(partition) < end:
            batch = await consumer.getmany(partition, timeout_ms=1000)
            records += batch.get(partition, ())
    return records


@asynccontextmanager
async def a_service(
    database_url: str, kafka: str, topic_prefix: str, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[Service]:
    """Give a service whose topics exist and of which nothing runs yet; end what was started."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", max_request_size=4 * 1024 * 1024)
    async with aiohttp.ClientSession() as session:
        service = Service(database_url, kafka, topic_prefix, folder, session, producer, environment)
        await producer.start()
        try:
            await complete("topics", service.variables())
            yield service
        finally:
            await producer.stop()
            await asyncio.gather(*(process.stop() for process in service.processes))


async def complete(command: str, variables: Mapping[str, str]) -> str:
    """Run a command of the service to its end; return what it printed."""
    code, output, complaints = await run(variables, command)
    assert code == 0, output + complaints
    return output


async def run(variables: Mapping[str, str], *command: str) -> tuple[int | None, str, str]:
    """Run a command of the service to its end; return its exit status, what it printed and its complaints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "reservations.app.cli", *command),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await process.communicate()
    return process.returncode, output.decode(), complaints.decode()
