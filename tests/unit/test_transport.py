"""What the consumer commits, polls and refuses, without a broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from reservations.agents.intake import Delivery, Lane, make_app
from reservations.agents.transport import MAX_BUFFERED, BatchConsumer, LogWentBackError
from reservations.agents.watchdog import StuckError

PARTITION = TP("topic", 0)


@pytest.fixture
async def consumer() -> AsyncIterator[BatchConsumer]:
    app = make_app("group", bootstrap_servers="127.0.0.1:1")
    app.topics._acking_topics.add("topic")
    yield app.consumer
    app.consumer._thread.thread_loop.close()


def deliver(consumer: BatchConsumer, *offsets: int) -> list[ConsumerMessage]:
    messages = [ConsumerMessage("topic", 0, offset, 0.0, 0, None, None, b"", None) for offset in offsets]
    for message in messages:
        consumer._note_delivery(PARTITION, message.offset)
        message.incref()
        message.tracked = True
    return messages


def acknowledge(consumer: BatchConsumer, *messages: ConsumerMessage) -> None:
    for message in messages:
        message.ack(consumer)


async def test_it_commits_up_to_the_first_message_that_is_not_acknowledged(consumer: BatchConsumer) -> None:
    messages = deliver(consumer, *range(10))
    acknowledge(consumer, *messages[:4], *messages[5:])
    assert consumer._new_offset(PARTITION) == 4
    assert consumer._new_offset(PARTITION) is None
    acknowledge(consumer, messages[4])
    assert consumer._new_offset(PARTITION) == 10


@pytest.mark.parametrize("committed", [None, 0, 7])
async def test_it_never_commits_past_one_missing_acknowledgement(
    consumer: BatchConsumer, committed: int | None
) -> None:
    consumer._committed_offset[PARTITION] = committed
    first, second = deliver(consumer, 7, 8)
    acknowledge(consumer, second)
    assert consumer._new_offset(PARTITION) is None
    acknowledge(consumer, first)
    assert consumer._new_offset(PARTITION) == 9


async def test_it_commits_over_offsets_that_kafka_leaves_out(consumer: BatchConsumer) -> None:
    acknowledge(consumer, *deliver(consumer, 3, 4, 6, 900))
    assert consumer._new_offset(PARTITION) == 901


async def test_it_commits_nothing_for_a_message_no_agent_got(consumer: BatchConsumer) -> None:
    (message,) = deliver(consumer, 0)
    message.tracked = False
    acknowledge(consumer, message)
    assert consumer._new_offset(PARTITION) is None


async def test_it_tells_the_first_message_that_is_not_acknowledged(consumer: BatchConsumer) -> None:
    messages = deliver(consumer, 3, 4, 6)
    assert consumer.unacknowledged() == {PARTITION: 3}
    acknowledge(consumer, messages[0], messages[1])
    assert consumer.unacknowledged() == {PARTITION: 6}
    acknowledge(consumer, messages[2])
    assert consumer.unacknowledged() == {}


async def test_nothing_is_acknowledged_after_a_fatal_error(consumer: BatchConsumer) -> None:
    fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    lane = Lane(consumer.app, noted, fatal, max_batch_size=10)
    fatal.set_exception(StuckError())
    batch = deliver(consumer, 0)
    await lane._finish(batch, None)
    assert (batch, lane.acknowledged, consumer.unacknowledged()) == ([], 0, {PARTITION: 0})
    assert isinstance(fatal.exception(), StuckError)


async def noted(_: Sequence[Delivery]) -> None:
    """Apply messages by doing nothing."""


async def test_nothing_is_delivered_between_seeking_and_the_emptying_of_the_queues(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowed: list[bool] = []

    async def committed() -> dict[TP, int]:
        flowed.append(consumer.app.flow_control.is_active() or consumer.flow_active)
        return {PARTITION: 3}

    monkeypatch.setattr(consumer, "seek_to_committed", committed)
    consumer.app.flow_control.resume()
    consumer.resume_flow()
    deliver(consumer, 3, 4)
    await consumer.perform_seek()
    assert (flowed, consumer.unacknowledged()) == ([False], {})
    deliver(consumer, 3, 4)  # they are read again
    assert consumer.unacknowledged() == {PARTITION: 3}


async def test_what_was_refused_to_be_committed_is_acknowledged_when_it_is_read_again(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_committed() -> dict[TP, None]:
        return {PARTITION: None}

    async def refuse(_: dict[TP, int]) -> bool:
        return False

    monkeypatch.setattr(consumer, "seek_to_committed", nothing_committed)
    monkeypatch.setattr(consumer, "assignment", lambda: {PARTITION})
    monkeypatch.setattr(consumer, "_commit", refuse)
    acknowledge(consumer, *deliver(consumer, 0, 1))
    assert await consumer.commit({PARTITION}) is False
    await consumer.perform_seek()
    acknowledge(consumer, *deliver(consumer, 0, 1))
    assert consumer._new_offset(PARTITION) == 2


@pytest.mark.parametrize("flows", [True, False])
async def test_a_partition_with_a_full_buffer_is_expected_to_stand_still_while_messages_flow(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch, flows: bool
) -> None:
    if flows:
        consumer.app.flow_control.resume()
    full, free = TP("full", 0), TP("free", 0)
    monkeypatch.setattr(consumer._thread, "positions", lambda: iter([(full, 5, 9), (free, None, None)]))
    monkeypatch.setattr(consumer, "_has_room", lambda topic: topic == "free")
    assert consumer.free_positions() == ({free: 0} if flows else {full: 5, free: 0})


@pytest.mark.parametrize("offset", [10, 0])
async def test_an_offset_delivered_again_is_an_error(consumer: BatchConsumer, offset: int) -> None:
    deliver(consumer, 9, 10)
    with pytest.raises(LogWentBackError, match=f"from offset 10 to {offset}"):
        deliver(consumer, offset)


async def test_a_log_that_ends_before_the_committed_offset_is_read_from_where_it_is(consumer: BatchConsumer) -> None:
    consumer._read_offset[PARTITION] = consumer._committed_offset[PARTITION] = 1000
    acknowledge(consumer, *deliver(consumer, 0, 1))
    assert consumer._filter_committable_offsets([PARTITION]) == {PARTITION: 2}


async def test_only_topics_with_room_are_polled(consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    polled: list[tuple[set[TP], float]] = []

    async def getmany(partitions: set[TP], timeout: float) -> dict[TP, list[object]]:  # noqa: ASYNC109
        polled.append((partitions, timeout))
        return {}

    full, free = TP("full", 0), TP("free", 3)
    for tp, size in ((full, MAX_BUFFERED), (free, MAX_BUFFERED - 1)):
        channel = consumer.app.topic(tp.topic).clone(is_iterator=True)
        for _ in range(size):
            channel.queue.force_put_nowait(None)
        consumer.app.topics._topic_name_index[tp.topic].add(channel)
    monkeypatch.setattr(consumer._thread, "getmany", getmany)
    await consumer._getmany({full, free}, 1.0)
    await consumer._getmany({full}, 1.0)
    await consumer._getmany({free}, 1.0)
    assert polled == [({free}, 0.02), ({free}, 1.0)]
