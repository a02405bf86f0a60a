"""Publishing: over one producer, in waves, done when the broker has acknowledged."""

import asyncio
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaProducer

from reservations.agents.publications import Publication
from reservations.models.topics import Topic


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
            await self._producer.send(
                self._topic_prefix + publication.topic,
                key=publication.key,
                value=publication.value,
                headers=publication.headers,
            )
            for publication in publications
        ]
        await asyncio.gather(*sent)
