"""Publishing events of the past again, from what was committed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg

from reservations.agents.publications import event_again
from reservations.agents.publisher import Publisher
from reservations.app.kafka import producer
from reservations.app.settings import Settings
from reservations.app.topics import TopicsError, missing_topics
from reservations.models.topics import EVENT_TOPICS
from reservations.tables import status_history
from reservations.tables.status_history import Retold, Span

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

BATCH_SIZE = 500

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Replayed:
    """How many events were published again, by type, and how many of them had to be put together anew."""

    by_type: Counter[str] = field(default_factory=Counter)
    rebuilt: int = 0

    @property
    def total(self) -> int:
        """How many in all."""
        return self.by_type.total()

    def note(self, events: list[Retold]) -> None:
        """Count events."""
        self.by_type.update(each.announcement.event_type for each in events)
        self.rebuilt += sum(each.is_rebuilt for each in events)


async def replay(
    settings: Settings,
    span: Span,
    *,
    per_second: int,
    dry_run: bool = False,
    progress: Progress = lambda *_: None,
) -> Replayed:
    """Publish the events of a span of time again, those of each reservation in order; a dry run only counts them.

    Raises:
        TopicsError, LoginRefusedError, KafkaError: the broker did not take all of them; it may be repeated.

    """
    done, begun = Replayed(), monotonic()
    async with _reading(settings) as connection, nullcontext() if dry_run else _publishing(settings) as publisher:
        total = await status_history.count_between(connection, span)
        async for events in _batches(status_history.told_between(connection, span), min(BATCH_SIZE, per_second)):
            if publisher:
                await _publish(publisher, events)
            done.note(events)
            progress("events", done.total, total)
            if publisher:
                await asyncio.sleep(max(0.0, begun + done.total / per_second - monotonic()))
    return done


async def _publish(publisher: Publisher, events: list[Retold]) -> None:
    """Publish events, each of a reservation when the one before it was acknowledged."""
    now, waves, publications = datetime.now(UTC), Counter[str](), []
    for each in events:
        key = each.announcement.reservation_id
        publications.append(event_again(each.announcement, now, waves[key]))
        waves[key] += 1
    await publisher.publish(publications)


async def _batches(events: AsyncIterator[Retold], size: int) -> AsyncIterator[list[Retold]]:
    batch: list[Retold] = []
    async for each in events:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator["AnyConnection"]:
    """Give a connection of who may only read, in a transaction that sees what was committed before it."""
    told = {"application_name": "reservations-replay", "timezone": "UTC", "statement_timeout": "0"}
    connection = await asyncpg.connect(settings.database_url, server_settings={"role": "reservations_reader", **told})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _publishing(settings: Settings) -> AsyncIterator[Publisher]:
    missing = await missing_topics(settings, tuple(EVENT_TOPICS.values()))  # asking for a topic may make it
    if missing:
        raise TopicsError(f"{', '.join(missing)} missing; run `reservations topics`. Is KAFKA_TOPIC_PREFIX right?")
    client = producer(settings, may_repeat=True)
    try:
        await client.start()
        yield Publisher(client, settings.kafka_topic_prefix)
    finally:
        await client.stop()
