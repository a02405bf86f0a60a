"""Workers that stop getting on, against a real broker: they end, say where they hang, and lose nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.types import TP

from reservations.agents.watching import Peeker
from tests.bookings import a_booking
from tests.conditions import eventually
from tests.servers import Servers
from tests.service import Process, Service

ROOT = Path(__file__).parents[2]
HANGING_WORKER = Path(__file__).with_name("hanging_worker.py")
WATCHED_WORKER = (sys.executable, "-m", "tests.integration.watched_worker")
WATCHDOG_S = 2
#: As long as a session: who is stopped until others have its partitions is stopped for longer.
PATIENT_WATCHDOG_S = 6
#: The watchdog's patience, one open question, the deadline for stopping, and a busy machine.
ENDS_WITHIN_S = 30
HANGS_HERE = {"stick-at:4": "in apply", "stick-in-the-rest-at:4": "in never_done", "block-at:4": "in apply"}


@dataclass(frozen=True, slots=True)
class Intake:
    """A topic of one partition, a group of its workers, and what they noted as applied."""

    broker: str
    topic: str
    group: str
    folder: Path
    producer: AIOKafkaProducer

    async def send(self, count: int) -> None:
        """Put messages on the topic, one after the other."""
        for _ in range(count):
            await self.producer.send_and_wait(self.topic, b"x", partition=0)

    def applied(self, name: str) -> list[int]:
        """Return the offsets that a worker applied."""
        path = self.folder / name
        return [int(line.split()[1]) for line in path.read_text().splitlines()] if path.exists() else []

    async def until_applied(self, name: str, last: int) -> None:
        """Wait until a worker has applied the message at an offset."""

        async def look() -> bool:
            return last in self.applied(name)

        await eventually(look, limit_s=ENDS_WITHIN_S)

    def patient_worker(self, name: str) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """Run a worker whose watchdog takes its time."""
        return self.worker(name, watchdog_s=PATIENT_WATCHDOG_S)

    async def committed(self) -> int | None:
        """Return what the group has committed."""
        async with AIOKafkaConsumer(bootstrap_servers=self.broker, group_id=self.group) as consumer:
            partition = TopicPartition(self.topic, 0)
            consumer.assign([partition])
            committed: int | None = await consumer.committed(partition)
            return committed

    def said(self, name: str) -> str:
        """Return what a worker wrote to its outputs."""
        return (self.folder / f"{name}.log").read_text()

    @contextmanager
    def worker(
        self, name: str, behaviour: str = "retry", watchdog_s: int = WATCHDOG_S
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a worker with a watchdog."""
        arguments = [self.broker, self.group, self.topic, str(self.folder / name), str(watchdog_s), behaviour]
        with (
            (self.folder / f"{name}.log").open("wb") as log,
            subprocess.Popen([*WATCHED_WORKER, *arguments], stdout=log, stderr=log, cwd=ROOT) as process,
        ):
            try:
                yield process
            finally:
                process.kill()


async def ended(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the end of a process; return its exit status."""
    return await asyncio.to_thread(process.wait, ENDS_WITHIN_S)


@pytest.fixture
async def intake(servers: Servers, tmp_path: Path) -> AsyncIterator[Intake]:
    """Give a topic with no message yet."""
    broker, topic = servers.kafka_bootstrap_servers, f"topic-{uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        yield Intake(broker, topic, str(uuid4()), tmp_path, producer)


@pytest.mark.parametrize(("behaviour", "place"), HANGS_HERE.items(), ids=HANGS_HERE)
async def test_a_worker_that_hangs_ends_says_where_and_its_messages_are_applied_by_the_next(
    intake: Intake, behaviour: str, place: str
) -> None:
    with intake.worker("first", behaviour) as process:
        await intake.send(5)
        await intake.until_applied("first", 4)
        assert await ended(process) == 1
    said = intake.said("first")
    assert place in said
    assert "_worker.py" in said
    assert (await intake.committed() or 0) <= 4
    with intake.worker("second") as process:
        await intake.until_applied("second", 4)
        assert process.poll() is None


async def test_a_worker_that_no_longer_reads_is_found_by_reading_for_it(intake: Intake) -> None:
    with intake.worker("first", "go-deaf-at:4") as process:
        await intake.send(5)
        await intake.until_applied("first", 4)
        await intake.send(1)
        assert await ended(process) == 1
    assert "not read" in intake.said("first")
    assert await intake.committed() == 5
    with intake.worker("second"):
        await intake.until_applied("second", 5)
    assert intake.applied("second") == [5]


async def test_a_worker_that_was_stopped_and_continued_is_not_taken_for_one_that_hangs(intake: Intake) -> None:
    with intake.patient_worker("first") as first, intake.patient_worker("spare") as second:
        await intake.send(1)
        held, other, process, _ = await self_and_other(intake, first, second)
        process.send_signal(signal.SIGSTOP)
        await intake.send(1)
        await intake.until_applied(other, 1)  # longer than the session timeout, which is the watchdog's patience
        before = len(intake.said(held))
        process.send_signal(signal.SIGCONT)

        async def has_found_out() -> bool:
            return len(intake.said(held)) > before

        await eventually(has_found_out, limit_s=ENDS_WITHIN_S)
        process.send_signal(signal.SIGTERM)
        await ended(process)  # in whatever way: it may be told in the middle of a rebalance
    assert "Where its threads stand" not in intake.said(held)
    assert "stuck" not in intake.said(held)


async def self_and_other(
    intake: Intake, first: "subprocess.Popen[bytes]", second: "subprocess.Popen[bytes]"
) -> tuple[str, str, "subprocess.Popen[bytes]", "subprocess.Popen[bytes]"]:
    """Tell which of two workers has the partition, and which is the spare."""

    async def look() -> str:
        return next((name for name in ("first", "spare") if intake.applied(name)), "")

    if await eventually(look, limit_s=ENDS_WITHIN_S) == "first":
        return "first", "spare", first, second
    return "spare", "first", second, first


async def test_the_peek_finds_a_record_at_a_position_and_nothing_at_the_end_or_without_a_broker(
    intake: Intake, free_port: int
) -> None:
    await intake.send(3)
    peek, partition = Peeker(intake.broker), TP(intake.topic, 0)
    assert await peek({partition: 2}) == {partition}
    assert await peek({partition: 3}) == set()
    assert await peek({partition: 9}) == set()
    assert await peek({}) == set()
    assert await Peeker(f"127.0.0.1:{free_port}")({partition: 2}) is None


async def test_the_peek_finds_nothing_where_only_the_marker_of_a_transaction_stands(
    servers: Servers, intake: Intake
) -> None:
    if servers.is_embedded_broker:
        pytest.skip("the broker has no transactions")
    partition = TopicPartition(intake.topic, 0)
    producer = AIOKafkaProducer(bootstrap_servers=intake.broker, transactional_id=intake.topic)
    async with producer, producer.transaction():
        await producer.send_and_wait(intake.topic, b"x", partition=0)
    async with AIOKafkaConsumer(bootstrap_servers=intake.broker) as consumer:
        assert await consumer.end_offsets([partition]) == {partition: 2}
    assert await Peeker(intake.broker)({TP(*partition): 1}) == set()
    assert await Peeker(intake.broker)({TP(*partition): 0}) == {TP(*partition)}


async def test_a_worker_that_hangs_says_so_to_operators_before_it_ends(own_service: Service) -> None:
    own_service.environment = {
        **own_service.environment,
        "WATCHDOG_S": "3",
        "STATEMENT_TIMEOUT_S": "1",
        "STOP_DEADLINE_S": "3",
    }
    worker, _ = launch_hanging(own_service), await own_service.start("gateway")
    await own_service.ready(worker)
    prefer = {"Prefer": "respond-async"}
    _, _, headers = await own_service.ask("POST", "/reservations", json=a_booking(), headers=prefer)

    async def counted() -> bool:
        _, text, _ = await own_service.ask("GET", f"{worker.url()}/metrics")
        return any(f"reservations_seconds_without_progress {count}.0" in str(text) for count in (1, 2))

    async def not_live() -> bool:
        return (await own_service.ask("GET", f"{worker.url()}/health/live"))[0] == 503

    await eventually(counted)
    await eventually(not_live)
    assert await worker.ended() == 1
    (stuck,) = (line for line in worker.lines() if line["event"] == "stuck")
    assert (stuck["level"], stuck["what"], stuck["offset"], stuck["seconds"]) == ("critical", "in work", 0, 3.0)
    assert "in apply\n    await asyncio.Event().wait()" in worker.log.read_text()
    assert "did not end in time" not in worker.log.read_text()
    await own_service.start("worker")

    async def applied() -> bool:
        _, command, _ = await own_service.ask("GET", headers["Location"])
        return bool(command["status"] == "APPLIED")

    await eventually(applied)


def launch_hanging(service: Service) -> Process:
    """Start a worker that hangs when it gets something to do; return at once."""
    log = service.folder / "hanging.log"
    with log.open("wb") as output:
        environment = {**os.environ, **service.variables()}
        popen = subprocess.Popen([sys.executable, str(HANGING_WORKER)], env=environment, stdout=output, stderr=output)
    process = Process("worker", popen, log)
    service.processes.append(process)
    return process
