"""Fail when an upgrade changes what the intake leans on: private parts of Faust, mode and aiokafka.

A failure here is no bug. Read what changed, check what the message says, then take over the new version or fingerprint.
"""

import hashlib
import inspect
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any
from weakref import WeakSet

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher as KafkaFetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import TopicPartitionState
from faust.agents import Agent
from faust.app import App
from faust.streams import Stream
from faust.tables.recovery import Recovery
from faust.transport import consumer as stock
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message
from mode import Service
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from reservations.agents.intake import IntakeApp, make_app

PINNED = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0", "mode-streaming": "0.7.1"}

# What is replaced, called or relied on, its fingerprint, and what to check again when it changed.
LEANED_ON: list[tuple[Callable[..., Any], str, str]] = [
    (
        stock.Fetcher._fetcher.fun,
        "68f894f0b577",
        "it must still call consumer._drain_messages(fetcher), once, and end the app if that raises",
    ),
    (
        stock.Consumer._drain_messages,
        "44a2500309e8",
        "BatchConsumer._drain_messages replaces it: has it learnt something we must too?",
    ),
    (stock.Consumer.getmany, "4b168d84882a", "it must end a poll when flow stops or the generation changes"),
    (stock.Consumer._wait_next_records, "6218e1969a63", "it must pass the active partitions to _getmany"),
    (
        stock.Consumer._new_offset,
        "1d2c7ea89a7a",
        "BatchConsumer._new_offset replaces it: is the gap of one message mended?",
    ),
    (stock.Consumer._filter_committable_offsets, "dc5e9baf5d99", "it must commit exactly what _new_offset returns"),
    (
        stock.Consumer.ack,
        "5fcf41cf4515",
        "it must add the offset to _acked_index and take the message out of _unacked_messages",
    ),
    (
        stock.Consumer.track_message,
        "217d7f1399a4",
        "Lane._take_queued tracks with it what iterating would have tracked",
    ),
    (
        stock.Consumer.perform_seek,
        "0e8c130ff4b0",
        "it must set _read_offset and _committed_offset to what is committed",
    ),
    (
        stock.Consumer.on_partitions_revoked,
        "d04b7ae72c6f",
        "it forgets acknowledgements before it waits, so we commit first",
    ),
    (
        stock.Consumer._commit_offsets,
        "1a6979904118",
        "it takes a refused offset for committed: BatchConsumer.perform_seek forgets it",
    ),
    (
        FlowControlEvent.resume,
        "4dcdc1253fd0",
        "it empties the agents' queues: BatchConsumer.perform_seek lets nothing be delivered before it",
    ),
    (stock.Consumer.wait_empty, "e4662fe24f09", "unacked messages hold up stopping until acknowledged or released"),
    (stock.Consumer.on_stop, "45b1d2210ce2", "the last acknowledgements must be committed here"),
    (
        driver.AIOKafkaConsumerThread._create_worker_consumer,
        "c2701bfc3e6f",
        "is the fetch wait still hard-coded? then keep ours",
    ),
    (
        driver.AIOKafkaConsumerThread.seek_to_committed,
        "775ab0adc4b0",
        "ours adds the partitions without a committed offset",
    ),
    (driver.AIOKafkaConsumerThread._commit, "932852ce7a23", "a commit refused after a rebalance must not crash"),
    (App._on_partitions_revoked, "d5c895bbe57d", "it suspends flow and waits for batches in work"),
    (App._stop_consumer, "55854a5de12c", "flow stops, queues are cleared, then it waits for batches in work"),
    (Recovery._resume_streams, "d986a6710c1a", "perform_seek must come before flow is resumed, after every assignment"),
    (
        Agent._execute_actor,
        "c750b828d2bd",
        "an exception that leaves an agent is acknowledged and restarted; ours never raise",
    ),
    (Stream.noack, "921a6f5c674d", "its stream must share the channel and acknowledge nothing"),
    (Stream._py_aiter, "3a48ee257a65", "skips stale messages and tracks the others, as Lane._take_queued does"),
    (Service.stop, "e17cd2b6bd01", "process._stop relies on asyncio.wait, for this swallows cancellation"),
    (Service.crash, "14980000465d", "a crash anywhere must set _crashed and crash_reason of the app"),
    (AIOKafkaConsumer.start, "2f1ba7044332", "it must hand _fetch_max_wait_ms to the fetcher"),
    (
        AIOKafkaConsumer.seek_to_committed,
        "f6cd85c8b70a",
        "does it now also move partitions without a committed offset?",
    ),
    (
        driver.AIOKafkaConsumerThread.on_start,
        "38b4e8bd1e10",
        "the coordinator must be there when it returns: PromptConsumerThread.on_start sets its _do_commit_offsets",
    ),
    (
        GroupCoordinator.commit_offsets,
        "5cbe31af28d6",
        "it must call _do_commit_offsets, and take UnknownMemberIdError for a group that has rebalanced",
    ),
    (
        GroupCoordinator.reset_generation,
        "537aa37c531b",
        "a worker that was put out must have a generation below 0: PromptConsumerThread.on_start tells it by that",
    ),
    (
        GroupCoordinator._push_error_to_user,
        "743ff515bd7e",
        "a refusal must stand in _pending_exception until somebody polls: PromptConsumerThread.refusal reads it there",
    ),
    (
        GroupCoordinator.check_errors,
        "ba6ca51ad348",
        "how else may the coordinator fail? PromptConsumerThread.refusal must see it",
    ),
    (
        KafkaFetcher.fetched_records,
        "be4348896b9b",
        "an empty set of partitions means all: BatchConsumer._getmany never passes one",
    ),
]


def fingerprint(member: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(member).encode()).hexdigest()[:12]


@pytest.fixture
async def app() -> AsyncIterator[IntakeApp]:
    """An app whose parts are made, and not started."""
    made = make_app("group", bootstrap_servers="127.0.0.1:1")
    yield made
    made.consumer._thread.thread_loop.close()


def message(offset: int = 0) -> ConsumerMessage:
    made = ConsumerMessage("topic", 0, offset, 0.0, 0, None, None, b"", None)
    made.incref()
    return made


@pytest.mark.parametrize(("name", "pinned"), PINNED.items())
def test_the_version_is_the_one_that_was_read(name: str, pinned: str) -> None:
    assert version(name) == pinned, f"{name} changed: read its changes to everything named in this file"


@pytest.mark.parametrize(
    ("member", "expected", "check"), LEANED_ON, ids=[member.__qualname__ for member, _, _ in LEANED_ON]
)
def test_what_is_leaned_on_reads_as_before(member: Callable[..., Any], expected: str, check: str) -> None:
    assert fingerprint(member) == expected, f"{member.__module__}.{member.__qualname__} changed: {check}"


async def test_the_consumer_fetches_with_our_wait_and_counts_no_time_between_polls(app: IntakeApp) -> None:
    consumer = app.consumer._thread._create_worker_consumer(app.transport)
    assert consumer._fetch_max_wait_ms == 20, "Faust no longer makes the consumer in _create_worker_consumer"
    assert consumer._max_poll_interval_ms >= 24 * 3600 * 1000, "a batch retried for long would cost the partitions"
    assert consumer._enable_auto_commit is False
    assert consumer._auto_offset_reset == "earliest"
    await consumer.stop()


@pytest.mark.parametrize(("session_s", "rebalance_s", "expected_s"), [(10, 10, 3), (6, 10, 2), (6, 1, 1 / 3)])
async def test_a_worker_hears_of_a_rebalance_while_there_is_time_to_take_part(
    session_s: float, rebalance_s: float, expected_s: float
) -> None:
    made = make_app("group", bootstrap_servers="a:1", session_timeout_s=session_s, rebalance_timeout_s=rebalance_s)
    assert made.conf.broker_heartbeat_interval == expected_s


async def test_environment_variables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BROKER_URL": "kafka://elsewhere", "WEB_ENABLED": "1", "STREAM_WAIT_EMPTY": "0"}.items():
        monkeypatch.setenv(name, value)
    conf = make_app("group", bootstrap_servers="one:1,two:2").conf
    assert [str(url) for url in conf.broker] == ["kafka://one:1", "kafka://two:2"]
    assert (conf.web_enabled, conf.stream_wait_empty, conf.topic_disable_leader) == (False, True, True)
    assert conf.id == "group"


async def test_faust_still_commits_past_a_single_unacknowledged_message(app: IntakeApp) -> None:
    """Once this fails, Faust is mended, and BatchConsumer may lose its own `_new_offset`."""
    tp = TP("topic", 0)
    app.consumer._committed_offset[tp] = 10
    app.consumer._acked[tp] = [11]
    assert driver.Consumer._new_offset(app.consumer, tp) == 12


async def test_an_acknowledged_message_is_in_the_index_and_no_longer_in_work(app: IntakeApp) -> None:
    app.topics._acking_topics.add("topic")
    made = message(offset=5)
    app.consumer.track_message(made)
    assert set(app.consumer.unacked) == {made}
    made.tracked = True
    made.ack(app.consumer)
    assert app.consumer._acked_index[TP("topic", 0)] == {5}
    assert not app.consumer.unacked


async def test_messages_in_work_are_held_weakly_and_can_be_released(app: IntakeApp) -> None:
    assert isinstance(app.consumer.unacked, WeakSet), "keeping no reference is no longer enough"
    made = message()
    app.consumer.track_message(made)
    app.consumer.unacked.discard(made)
    assert not app.consumer._unacked_messages


def test_a_message_is_untracked_until_an_agent_gets_it() -> None:
    assert message().tracked is False
    assert {"tracked", "generation_id", "__weakref__"} <= set(Message.__slots__)


async def test_a_stream_without_acknowledging_shares_the_queue_of_its_channel(app: IntakeApp) -> None:
    stream = app.stream(app.topic("topic"))
    assert stream.noack().channel is stream.channel
    assert stream.noack().enable_acks is False
    assert isinstance(stream.channel.queue, ThrowableQueue)


async def test_a_queue_gives_at_once_and_raises_what_was_thrown() -> None:
    queue = ThrowableQueue[int](flow_control=FlowControlEvent(initially_suspended=False), maxsize=10)
    assert queue.empty()
    queue.put_nowait(1)
    assert (queue.empty(), queue.qsize(), queue.get_nowait()) == (False, 1, 1)
    queue._throw(ValueError("thrown"))
    assert not queue.empty()
    with pytest.raises(ValueError, match="thrown"):
        queue.get_nowait()


async def test_a_full_buffer_is_never_reached_before_its_topic_is_left_alone(app: IntakeApp) -> None:
    queue = app.topic("topic").clone(is_iterator=True).queue
    assert queue.pressure_high_size > 1000 + app.conf.broker_max_poll_records


def test_a_fetch_tells_the_position_and_the_end_of_the_log() -> None:
    state = TopicPartitionState.__init__.__code__.co_names
    assert {"_position", "highwater"} <= set(state), "PromptConsumerThread.positions reads these"


async def test_flow_stops_and_resumes_with_these_names(app: IntakeApp) -> None:
    assert app.flow_control.is_active() is False
    app.flow_control.resume()
    assert app.flow_control.is_active() is True
    app.consumer.stop_flow()
    assert app.consumer.flow_active is False
    assert app.consumer_generation_id == 0


def test_partitions_of_both_libraries_are_equal() -> None:
    assert TP("topic", 1) == TopicPartition("topic", 1)
    assert hash(TP("topic", 1)) == hash(TopicPartition("topic", 1))


async def test_agents_of_one_function_are_kept_apart_by_name(app: IntakeApp) -> None:
    async def read(stream: faust.Stream[bytes]) -> None: ...

    for name in ("one", "two"):
        app.agent(app.topic(name), name=name, concurrency=1)(read)
    assert [agent.concurrency for agent in app.agents.values()] == [1, 1]
