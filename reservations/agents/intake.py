"""Batches from Kafka, at least once and in order: acknowledged only after they were applied, and never read past.

A lane is one agent on one topic. It hands over a message as soon as there is one, and more only if they already wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import faust
from faust.types import TP
from yarl import URL

from reservations.agents.pace import GivingWay, Pace
from reservations.agents.security import OPEN, Security
from reservations.agents.transport import MAX_BUFFERED, BatchTransport

COMMIT_INTERVAL_S = 0.5
MAX_POLL_RECORDS = 500
METADATA_MAX_AGE_MS = 10_000
FOREVER_S = 7 * 24 * 3600.0


class Delivery(Protocol):
    """A message as the broker keeps it; `timestamp` in seconds since 1970, `tp` = (topic, partition)."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    headers: Sequence[tuple[str, bytes]] | None
    key: bytes | None
    value: bytes | None


#: What remains to be done for a batch, while the next one is applied already.
Rest = Callable[[], Awaitable[None]]
#: Applies a batch for good, and returns what must follow before it may be acknowledged.
Apply = Callable[[Sequence[Delivery]], Awaitable[Rest | None]]


class IntakeApp(faust.App):
    """A Faust app that reads with `BatchTransport` and writes no folders: state lives elsewhere."""

    fetch_wait_ms = 20
    """How long the broker may wait for messages before it answers a fetch; what comes meanwhile may wait as long."""

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self, loop=self.loop)

    def _create_directories(self) -> None:
        """Make none; Faust would make `<name>-data` in the working folder."""


def make_app(
    name: str,
    *,
    bootstrap_servers: str,
    security: Security = OPEN,
    session_timeout_s: float = 10,
    rebalance_timeout_s: float = 10,
    fetch_wait_ms: int = IntakeApp.fetch_wait_ms,
) -> IntakeApp:
    """Build the app of the consumer group `name` for brokers `host:port,host:port`; call it inside a running loop.

    A batch may be retried for as long as the database is away. So nothing here counts time between polls: a worker that
    hangs is for the watchdog to find, one that died for the session timeout. A heartbeat's answer is how a worker hears
    of a rebalance: heard too late for the rebalance timeout, it reads on partitions that others were given.
    """
    app = IntakeApp(
        name,
        env={},  # otherwise variables such as BROKER_URL or WEB_ENABLED override what stands here
        broker=[URL(f"kafka://{server.strip()}") for server in bootstrap_servers.split(",")],
        broker_credentials=security.credentials(),
        key_serializer="raw",
        value_serializer="raw",  # a decode error inside Faust loses the message
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        stream_wait_empty=True,
        stream_buffer_maxsize=4 * (MAX_BUFFERED + MAX_POLL_RECORDS),  # never full: Faust would stop every topic
        stream_processing_timeout=FOREVER_S,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=min(3.0, session_timeout_s / 3, rebalance_timeout_s / 3),
        broker_rebalance_timeout=rebalance_timeout_s,
        broker_max_poll_interval=FOREVER_S,
        broker_max_poll_records=MAX_POLL_RECORDS,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_commit_livelock_soft_timeout=FOREVER_S,
    )
    app.fetch_wait_ms = fetch_wait_ms
    return app


class Lane:
    """One agent on one topic, and how far it came: `acknowledged` counts messages since the start."""

    def __init__(self, app: faust.App, apply: Apply, fatal: "asyncio.Future[None]", max_batch_size: int) -> None:
        self.acknowledged = 0
        self._app = app
        self._apply = apply
        self._fatal = fatal
        self.pace = Pace(max_batch_size)
        self._batches: tuple[list[Any], ...] = ()
        self._finishing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finishing.set_result(None)

    async def run(self, stream: Any) -> None:
        """Apply batches until cancelled; on any error give the batch up, tell `fatal`, and read nothing more.

        While the rest of a batch is done, the next one is applied; its own rest waits for that. Never raises: Faust
        would restart the agent, which would read on past the failed batch.
        """
        batch: list[Any] = []
        self._batches = (batch,)
        try:
            unacknowledged = stream.noack()
            async for event in unacknowledged.events():
                batch.append(event.message)
                self._take_queued(unacknowledged.channel.queue, batch, self.pace.take())
                rest = await self._apply(tuple(batch))
                await self._finishing
                if self._fatal.done():
                    break
                self._finishing = asyncio.ensure_future(self._finish(batch, rest))
                finishing, batch = batch, []
                self._batches = (finishing, batch)
                await self.pace.rest()
        except BaseException as error:
            self._release(batch)
            if _is_cancelled(error):
                raise
            self._fail(error)
        self._release(batch)
        await asyncio.Event().wait()

    def give_way_to(self, others: Iterable["Lane"]) -> None:
        """Let these lanes go first from now on."""
        self.pace = GivingWay(self.pace.most, [other.pace for other in others])

    def oldest(self) -> tuple[TP, int] | None:
        """Return partition and offset of the message that is in hand for the longest time, if any is."""
        first = next((batch[0] for batch in self._batches if batch), None)
        return (TP(first.topic, first.partition), first.offset) if first else None

    def arrived_at(self) -> float | None:
        """Return when what is in hand for longest came to the broker, in seconds since 1970; None for nothing."""
        return next((batch[0].timestamp for batch in self._batches if batch), None)

    async def _finish(self, batch: list[Any], rest: Rest | None) -> None:
        try:
            if rest:
                await rest()
            if self._fatal.done():
                self._release(batch)
            else:
                self._acknowledge(batch)
        except Exception as error:
            self._release(batch)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._fatal.done():
            self._fatal.set_exception(error)

    def _take_queued(self, queue: Any, batch: list[Any], most: int) -> None:
        """Fill the batch with what already waits, treating each message as iterating over the stream would."""
        consumer = self._app.consumer
        while len(batch) < most and not queue.empty():
            message = queue.get_nowait().message
            if not self._is_current(message):
                continue  # its partition was taken away; it will be delivered again
            message.tracked = True
            consumer.track_message(message)
            batch.append(message)

    def _is_current(self, message: Any) -> bool:
        return bool(self._app.flow_control.is_active() and message.generation_id == self._app.consumer_generation_id)

    def _acknowledge(self, batch: list[Any]) -> None:
        for message in batch:
            message.ack(self._app.consumer)
        self.acknowledged += len(batch)
        batch.clear()  # what is still referred to counts as being in work

    def _release(self, batch: list[Any]) -> None:
        """Leave the batch unacknowledged, and let no stopping wait for it."""
        for message in batch:
            self._app.consumer.unacked.discard(message)
        batch.clear()


def _is_cancelled(error: BaseException) -> bool:
    """Tell the end of the agent from a cancellation that merely leaked out of what it awaited."""
    task = asyncio.current_task()
    return isinstance(error, GeneratorExit) or (
        isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
    )


def consume(app: faust.App, topic_name: str, apply: Apply, fatal: "asyncio.Future[None]", max_batch_size: int) -> Lane:
    """Declare the one agent of a topic; `apply` gets its messages in order.

    Concurrency stays 1: two batches of a partition at once would have no order.
    """
    lane = Lane(app, apply, fatal, max_batch_size)
    app.agent(app.topic(topic_name), name=topic_name, concurrency=1)(lane.run)
    return lane


def assigned(app: faust.App) -> frozenset[TP]:
    """Return the partitions this worker reads now."""
    return frozenset(tp for tp, _, _ in app.consumer._thread.positions())


def lag(app: faust.App) -> dict[TP, int]:
    """Return, without I/O, how many messages of each assigned partition are not committed.

    It lacks partitions not fetched from yet, and what arrived since the last fetch: a lane whose buffer is full does
    not fetch. It is 0 only when everything known is committed.
    """
    lags: dict[TP, int] = app.consumer.lag()
    return lags


def unacknowledged(app: faust.App) -> dict[TP, int]:
    """Return the first offset of each partition that was delivered, is not acknowledged, and may be worked on now."""
    delivered: dict[TP, int] = app.consumer.unacknowledged() if app.flow_control.is_active() else {}
    return delivered


def free_positions(app: faust.App) -> dict[TP, int]:
    """Return the offset read next of each assigned partition, but for those whose agent has enough to do."""
    positions: dict[TP, int] = app.consumer.free_positions()
    return positions
