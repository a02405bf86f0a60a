"""How messages come from Kafka into Faust: fetched promptly, delivered cheaply, committed only when done.

Faust's own consumer makes four tasks per message, waits up to 1.5 s in a fetch, lets a full buffer of one topic hold up
all others, and can commit past a message that was never acknowledged. The one here, set as `app.transport`, does not.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, UnknownMemberIdError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

POLL_TIMEOUT_S = 1.0
REFUSAL_INTERVAL_S = 1.0
FULL_POLL_TIMEOUT_S = 0.02  # while a topic's buffer is full: how soon to look whether it has room again
MAX_BUFFERED = 1000  # messages of one topic that may wait for its agent before its partitions are left alone
DELIVERED_PER_TURN = 50  # messages delivered before other tasks get a turn


class LogWentBackError(Exception):
    """A partition delivered an offset that was read before: the broker lost its log, or the end of it."""


class PromptConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, with a short fetch wait and a complete seek."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = transport.app.fetch_wait_ms  # Faust hard-codes 1500; start() hands it on
        return consumer

    async def on_start(self) -> None:
        """Start, and commit from now on as a member of the group only.

        aiokafka lets a worker that was put out commit as nobody. A broker that lost its log, and the group with it,
        accepts that: offsets of the lost log, from which to go on in the new one.
        """
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        commit = coordinator._do_commit_offsets

        async def commit_as_member(assignment: object, offsets: object) -> None:
            if coordinator.generation < 0:
                raise UnknownMemberIdError(coordinator.group_id)
            await commit(assignment, offsets)

        coordinator._do_commit_offsets = commit_as_member

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        """Seek to what is committed, and to the beginning where nothing is: aiokafka would not move there."""
        committed: Mapping[TP, int | None] = await super().seek_to_committed()
        never = [TopicPartition(*tp) for tp, offset in committed.items() if not offset]
        if never:
            await self.call_thread(self._ensure_consumer().seek_to_beginning, *never)
        return committed

    def refusal(self) -> Exception | None:
        """Return why this worker can't be in its group, None as long as it can."""
        coordinator = self._consumer and self._consumer._coordinator
        if not coordinator:
            return None
        routine = coordinator._coordination_task
        broken = routine.exception() if routine.done() and not routine.cancelled() else None
        refusal: Exception | None = broken or coordinator._pending_exception
        return refusal

    def positions(self) -> Iterator[tuple[TP, int | None, int | None]]:
        """Yield (partition, offset polled next, end of its log) as known now; None before the first answer."""
        subscription = self._consumer and self._consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        for tp in assignment.tps if assignment else ():
            state = assignment.state_value(tp)
            yield TP(*tp), state._position, state.highwater


class BatchConsumer(driver.Consumer):
    """Faust's consumer for agents that acknowledge in order and in batches.

    It commits up to the first message that was delivered and not acknowledged. `_delivered` holds, per partition, the
    offsets above the last commit in order of delivery; offsets that Kafka skips (transaction markers, compaction) never
    enter it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._delivered: defaultdict[TP, deque[int]] = defaultdict(deque)
        self._read_since_assigned: set[TP] = set()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> PromptConsumerThread:
        return PromptConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # ---- rebalancing ----

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done, then let Faust wait for the batches in work.

        Faust forgets the acknowledgements first, and does not pause a worker that holds no partition yet, which then
        reads while its first ones are being set up.
        """
        self.stop_flow()
        self.app.flow_control.suspend()
        await self.commit()
        await super().on_partitions_revoked(revoked)

    @Service.task
    async def _watch_membership(self) -> None:
        """End the app when the group refuses this worker: aiokafka tells only who polls, and then nobody does."""
        while not self.should_stop:
            await self.sleep(REFUSAL_INTERVAL_S)
            refusal = self._thread.refusal()
            if refusal and not self.should_stop:
                raise refusal

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Start counting anew: every partition is read again from its committed offset."""
        self._delivered.clear()
        self._read_since_assigned.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek to what is committed, while nothing is delivered, and count anew.

        Faust keeps an offset whose commit was refused as committed. Where nothing is committed in truth, it would go on
        doing so, and acknowledge nothing below it. The flow is resumed next, and that empties the agents' queues.
        After two rebalances in a row it may flow already: what was delivered between seeking and resuming would be
        gone, and not read again.
        """
        self.stop_flow()
        self.app.flow_control.suspend()
        self._committed_offset.clear()
        self._delivered.clear()
        self._read_since_assigned.clear()
        await super().perform_seek()

    # ---- delivery ----

    async def _drain_messages(self, fetcher: Any) -> None:
        """Poll and deliver until stopped; whatever else ends this ends the app."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                await asyncio.sleep(0)
                await self.app.flow_control.acquire()
                await self._deliver_polled()
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _deliver_polled(self) -> None:
        """Deliver one poll's messages to their agents' queues."""
        count = 0
        is_flowing = self.app.flow_control.is_active
        async for tp, message in self.getmany(timeout=POLL_TIMEOUT_S):
            count += 1
            if not count % DELIVERED_PER_TURN:
                await asyncio.sleep(0)
            if not is_flowing():
                return  # a rebalance or the end: the rest will be read again from the committed offset
            self._note_delivery(tp, message.offset)
            await self.callback(message)

    def _note_delivery(self, tp: TP, offset: int) -> None:
        """Remember what is handed out, before it can be acknowledged; raise LogWentBackError if it was before."""
        read = self._read_offset[tp]
        if tp in self._read_since_assigned:
            if offset <= read:
                raise LogWentBackError(f"{tp.topic}[{tp.partition}] went back from offset {read} to {offset}")
        else:
            self._read_since_assigned.add(tp)
            if read is not None and offset < read:
                self._accept_shorter_log(tp, read, offset)
        self._read_offset[tp] = offset
        self._delivered[tp].append(offset)

    def _accept_shorter_log(self, tp: TP, committed: int, offset: int) -> None:
        """Read on below the committed offset: right after an assignment nothing of the lost log is in work any more."""
        self.log.error("%s[%s] ends before its committed offset %s: read from %s", *tp, committed, offset)
        self._committed_offset[tp] = None

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> Mapping[TP, list[Any]]:
        """Fetch from the topics whose agents have room, so that a backlog in one never holds up another."""
        active = active_partitions or set()
        open_partitions = {tp for tp in active if self._has_room(tp.topic)}
        if len(open_partitions) < len(active):
            timeout = FULL_POLL_TIMEOUT_S
        if not open_partitions:
            await asyncio.sleep(timeout)
            return {}
        records: Mapping[TP, list[Any]] = await super()._getmany(open_partitions, timeout)
        return records

    def _has_room(self, topic: str) -> bool:
        channels = self.app.topics._topic_name_index.get(topic, ())
        return all(channel.queue.qsize() < MAX_BUFFERED for channel in channels)

    # ---- acknowledging ----

    def ack(self, message: Any) -> bool:
        """Acknowledge a message that was handed to an agent; Faust's pure-Python stream also acks those it skips."""
        return bool(message.tracked and super().ack(message))

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset of the first message that is not acknowledged; None if it is the committed one."""
        delivered, acked = self._delivered[tp], self._acked_index[tp]
        done = None
        while delivered and delivered[0] in acked:
            done = delivered.popleft()
            acked.discard(done)
        self._acked[tp].clear()
        return None if done is None else done + 1

    # ---- what watchers ask ----

    def lag(self) -> dict[TP, int]:
        """Return, without I/O, how many offsets of each partition are not committed, where a fetch told its end."""
        lags = {}
        for tp, position, end in self._thread.positions():
            delivered = self._delivered.get(tp)
            first = delivered[0] if delivered else position
            if first is not None and end is not None:
                lags[tp] = max(0, end - first)
        return lags

    def unacknowledged(self) -> dict[TP, int]:
        """Return the first offset of each partition that was delivered and is not acknowledged."""
        firsts = {}
        for tp, delivered in self._delivered.items():
            acked = self._acked_index[tp]
            first = next((offset for offset in delivered if offset not in acked), None)
            if first is not None:
                firsts[tp] = first
        return firsts

    def free_positions(self) -> dict[TP, int]:
        """Return the offset polled next of each partition that no full buffer keeps from being polled.

        It is 0 where it is not known: then nothing was polled since the assignment.
        """
        flows = self.app.flow_control.is_active()
        return {
            tp: position or 0 for tp, position, _ in self._thread.positions() if not flows or self._has_room(tp.topic)
        }


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with `BatchConsumer`; set it as `app.transport`."""

    Consumer = BatchConsumer
