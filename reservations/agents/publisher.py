"""Publishing: in waves, what goes to one partition together, done when the broker has acknowledged."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from reservations.agents.publications import Publication
from reservations.models.topics import Topic

#: What of a reservation goes out has one key, on topics that mostly have as many partitions.
_partition_of = lru_cache(maxsize=4096)(DefaultPartitioner())


class Publishes(Protocol):
    """Anything that publishes: the publisher, and what is wrapped around it."""

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Send every publication and wait until the broker acknowledged all of them."""


class Publisher:
    """Sends publications over a producer that waits for all in-sync replicas (acks=all)."""

    def __init__(self, producer: AIOKafkaProducer, topic_prefix: str) -> None:
        self._producer = producer
        self._topic_prefix = topic_prefix

    def full_name(self, topic: Topic) -> str:
        """Return a topic's name in this cluster."""
        return self._topic_prefix + topic.name

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Send every publication and wait until the broker acknowledged all of them.

        A wave starts when the one before it is acknowledged, so that a failure can't leave a reservation's later
        event published and an earlier one not.

        Raises:
            aiokafka.errors.KafkaError: one was not acknowledged; any of them may have been published.

        """
        for wave in sorted({publication.wave for publication in publications}):
            await self._publish(publication for publication in publications if publication.wave == wave)

    async def _publish(self, publications: Iterable[Publication]) -> None:
        sent = [
            await self._producer.send_batch(batch, topic, partition=partition)
            for (topic, partition), some in (await self._placed(publications)).items()
            for batch in self._batches(some)
        ]
        await asyncio.gather(*sent)

    async def _placed(self, publications: Iterable[Publication]) -> dict[tuple[str, int], list[Publication]]:
        """Return publications by full topic name and partition: that of their key, as any producer would place them."""
        partitions: dict[str, tuple[int, ...]] = {}
        placed: dict[tuple[str, int], list[Publication]] = defaultdict(list)
        for each in publications:
            topic = self._topic_prefix + each.topic
            if topic not in partitions:
                partitions[topic] = tuple(sorted(await self._producer.partitions_for(topic)))
            placed[topic, _partition_of(each.key, partitions[topic], ())].append(each)
        return placed

    def _batches(self, publications: Sequence[Publication]) -> Iterator[Any]:
        """Fill batches, each up to what the producer takes at once; the first message of one may be larger."""
        batch = self._producer.create_batch()
        for each in publications:
            if not _append(batch, each):
                yield batch
                batch = self._producer.create_batch()
                _append(batch, each)
        yield batch


def _append(batch: Any, each: Publication) -> bool:
    appended = batch.append(timestamp=None, key=each.key, value=each.value, headers=each.headers)
    return appended is not None
