"""The watchdog at work: looks at the worker once a tick, asks the broker now and then, ends what is stuck."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from reservations.agents import intake
from reservations.agents.intake import IntakeApp, Lane
from reservations.agents.security import OPEN, Security
from reservations.agents.stacks import dump_stacks
from reservations.agents.stillness import TICK_S
from reservations.agents.watchdog import Sight, Stuck, StuckError, Watchdog, Work

PEEK_LIMIT_S = 5.0
PEEK_WAIT_MS = 1000

#: Tells in which partitions there is a record at the offset or beyond; None when the broker does not answer.
Peek = Callable[[Mapping[TP, int]], Awaitable[set[TP] | None]]
#: A lane, and what changes with each attempt to get on with what it has in work.
Watched = tuple[Lane, Callable[[], int]]


def look(app: IntakeApp, lanes: Mapping[str, Watched]) -> Sight:
    """Return, without I/O, what the lanes, by topic, have in work and from where this worker reads on."""
    delivered = intake.unacknowledged(app)
    in_work = {}
    for topic, (lane, attempts) in lanes.items():
        oldest = lane.oldest() or next((each for each in delivered.items() if each[0].topic == topic), None)
        if oldest:
            tp, offset = oldest
            in_work[topic] = Work(tp, offset, (lane.acknowledged, attempts()))
    return Sight(in_work, intake.free_positions(app))


class Peeker:
    """Looks for records with a consumer of its own, in no group, made anew for each look."""

    def __init__(self, bootstrap_servers: str, security: Security = OPEN) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._security = security

    async def __call__(self, positions: Mapping[TP, int]) -> set[TP] | None:
        """Return those of the partitions that have a record at their position or beyond; None without an answer."""
        asking = asyncio.ensure_future(self._peek(positions))
        # Not wait_for: it would wait for an end that a silent broker may hold up.
        await asyncio.wait({asking}, timeout=PEEK_LIMIT_S)
        if not asking.done():
            asking.cancel()
            return None
        return None if asking.cancelled() else asking.result()

    async def _peek(self, positions: Mapping[TP, int]) -> set[TP] | None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            **self._security.options(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            return await _unread(consumer, positions)
        except (KafkaError, OSError):
            return None
        finally:
            await consumer.stop()


async def _unread(consumer: AIOKafkaConsumer, positions: Mapping[TP, int]) -> set[TP]:
    if not positions:
        await consumer.topics()  # a question, whose answer is that there is one
        return set()
    consumer.assign([TopicPartition(*tp) for tp in positions])
    for tp, offset in positions.items():
        consumer.seek(TopicPartition(*tp), offset)
    read = await consumer.getmany(timeout_ms=PEEK_WAIT_MS)
    # A position outside of the log is set to its beginning; what lies before it was read.
    return {TP(*tp) for tp, records in read.items() if records[-1].offset >= positions[TP(*tp)]}


class Watch:
    """Watches a worker, and tells where it is stuck."""

    def __init__(self, watchdog: Watchdog, look: Callable[[], Sight], peek: Peek) -> None:
        self._watchdog = watchdog
        self._look = look
        self._peek = peek
        self._asking: asyncio.Task[None] | None = None

    async def run(self) -> Stuck:
        """Watch until the worker is stuck; return where."""
        while True:
            stuck = self.tick()
            if stuck:
                return stuck
            await asyncio.sleep(TICK_S)

    def tick(self) -> Stuck | None:
        """Look once; return where the worker is stuck, if it is. Nothing is decided while a question is open."""
        self._watchdog.see(self._look())
        if self._asking and not self._asking.done():
            return None
        question = self._watchdog.question()
        if question is not None and not self._watchdog.stuck():
            self._asking = asyncio.create_task(self._ask(question))
        return self._watchdog.stuck()

    async def _ask(self, question: Mapping[TP, int]) -> None:
        try:
            found = await self._peek(question)
        except Exception:
            structlog.get_logger().exception("peek_failed")
            found = None
        self._watchdog.learn(question, found)


def start(
    app: IntakeApp, lanes: Mapping[str, Watched], fatal: "asyncio.Future[None]", watchdog: Watchdog, peek: Peek
) -> "asyncio.Task[None]":
    """Begin to watch a worker; where it is stuck is told to the log, its stacks to standard error, both to `fatal`."""

    async def watch() -> None:
        try:
            _tell(await Watch(watchdog, lambda: look(app, lanes), peek).run(), fatal)
        except Exception as error:
            fatal.set_exception(error)

    return asyncio.create_task(watch(), name="watchdog")


def _tell(stuck: Stuck, fatal: "asyncio.Future[None]") -> None:
    topic, partition = stuck.tp
    structlog.get_logger().critical(
        "stuck", what=stuck.what, topic=topic, partition=partition, offset=stuck.offset, seconds=stuck.seconds
    )
    dump_stacks()
    if not fatal.done():
        fatal.set_exception(StuckError(f"{topic}[{partition}] at offset {stuck.offset}: {stuck.what}"))
