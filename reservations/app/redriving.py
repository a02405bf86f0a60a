"""Reading dead letters, and putting the messages that they were back on their topics."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from reservations.app.dead_letters import DeadLetter, Position, Selection, headers_again
from reservations.app.kafka import FETCH_WAIT_MS, dead_letters_consumer, producer
from reservations.app.settings import Settings
from reservations.app.topics import TopicsError, missing_topics
from reservations.models.topics import DEAD_LETTERS, INTAKE

POLL_MS = 500
STALL_LIMIT_S = 30


@dataclass(frozen=True, slots=True)
class Attempt:
    """A dead letter that was to be redriven, and why it was not, if so."""

    letter: DeadLetter
    refusal: str | None = None


async def read(settings: Settings, selection: Selection, limit: int | None = None) -> AsyncGenerator[DeadLetter, None]:
    """Yield the dead letters that are meant, at most `limit`, of those there are now; by partition, then by offset.

    Raises:
        TopicsError: there is no topic to read.
        KafkaError: the broker is away.
        TimeoutError: the broker is there, but sends nothing.

    """
    count = 0
    async with _reading(settings) as consumer, aclosing(_records(consumer, selection)) as records:
        async for record in records:
            letter = _letter(record)
            if selection.takes(letter):
                yield letter
                count += 1
            if count == limit:
                return


async def redrive(
    settings: Settings, selection: Selection, limit: int | None = None, *, dry_run: bool = False
) -> AsyncGenerator[Attempt, None]:
    """Put the originals of the dead letters that are meant back on their topics; yield each when the broker has it.

    Raises:
        TopicsError: there is no topic to read.
        KafkaError: the broker is away; what was yielded before is on its topic.
        TimeoutError: the broker is there, but sends nothing.

    """
    topics = {settings.kafka_topic_prefix + topic.name for topic in INTAKE}
    async with _sending(settings) as sender, aclosing(read(settings, selection, limit)) as letters:
        async for letter in letters:
            refusal = _refuse(letter, topics)
            if refusal is None and not dry_run:
                refusal = await _put_back(sender, letter)
            yield Attempt(letter, refusal)


def _refuse(letter: DeadLetter, topics: set[str]) -> str | None:
    if letter.told("topic") not in topics:
        return f"nothing is redriven to {letter.told('topic')}"
    if letter.key is None and letter.value is None:
        return "it has neither key nor value"
    return None


async def _put_back(sender: AIOKafkaProducer, letter: DeadLetter) -> str | None:
    headers = headers_again(letter, datetime.now(UTC))
    try:
        await sender.send_and_wait(letter.told("topic"), letter.value, letter.key, headers=headers)
    except MessageSizeTooLargeError:
        return "it is too large for its topic"
    return None


def _letter(record: "ConsumerRecord[Any, Any]") -> DeadLetter:
    return DeadLetter(Position(record.partition, record.offset), record.key, record.value, record.headers)


async def _records(consumer: AIOKafkaConsumer, selection: Selection) -> AsyncGenerator[ConsumerRecord, None]:
    for partition, end in sorted((await _ends(consumer)).items()):
        named = [each.offset for each in selection.positions if each.partition == partition.partition]
        wanted = [offset for offset in named if offset < end]
        if wanted:
            consumer.seek(partition, min(wanted))
        if wanted or not selection.positions:
            async for record in _records_before(max(wanted, default=end - 1) + 1, consumer, partition):
                yield record


async def _ends(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """Return where each partition ends now, as the first fetch tells it."""
    # Asked for the end alone, the embedded broker names the first message of the last batch.
    async with asyncio.timeout(STALL_LIMIT_S):
        while None in (ends := {each: consumer.highwater(each) for each in consumer.assignment()}).values():  # noqa: ASYNC110  # nothing tells of a fetch
            await asyncio.sleep(FETCH_WAIT_MS / 1000)
    return ends


async def _records_before(
    end: int, consumer: AIOKafkaConsumer, partition: TopicPartition
) -> AsyncIterator[ConsumerRecord]:
    """Yield the records below an offset. There may be none just below: a transaction's marker, or compacted away."""
    last, since = -1, monotonic()
    while (position := await _position(consumer, partition)) < end:
        if position != last:
            last, since = position, monotonic()
        elif monotonic() - since > STALL_LIMIT_S:
            raise TimeoutError(f"{partition.topic} sent nothing for {STALL_LIMIT_S} s")
        for record in (await consumer.getmany(partition, timeout_ms=POLL_MS)).get(partition, ()):
            if record.offset < end:
                yield record


async def _position(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    async with asyncio.timeout(STALL_LIMIT_S):
        return int(await consumer.position(partition))


@asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    missing = await missing_topics(settings, [DEAD_LETTERS])  # asking for a topic may make it
    if missing:
        raise TopicsError(f"{', '.join(missing)} missing; is KAFKA_TOPIC_PREFIX right?")
    consumer = dead_letters_consumer(settings)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def _sending(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    sender = producer(settings, may_repeat=True)
    try:
        await sender.start()
        yield sender
    finally:
        await sender.stop()
