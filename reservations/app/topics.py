"""Creating the topics as they are declared, and verifying those that exist."""

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from reservations.app.settings import Settings
from reservations.models.topics import TOPICS, Topic


class TopicsError(Exception):
    """The topics are not as the service needs them."""


async def ensure_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; return their names.

    Raises:
        TopicsError: the broker refused one, or one exists with fewer partitions than the others need.

    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in TOPICS if settings.kafka_topic_prefix + topic.name not in existing]
        await _create(admin, missing, settings)
        return [settings.kafka_topic_prefix + topic.name for topic in missing]
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], settings: Settings) -> None:
    if not topics:
        return
    response = await admin.create_topics([_new(topic, settings) for topic in topics])
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise TopicsError(f"The broker refused to create {name}: {error.__name__}")


def _new(topic: Topic, settings: Settings) -> NewTopic:
    return NewTopic(
        settings.kafka_topic_prefix + topic.name,
        num_partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
        topic_configs={"retention.ms": str(topic.retention_ms), **topic.config},
    )


async def missing_topics(settings: Settings) -> list[str]:
    """Return the names of the topics that do not exist."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
    finally:
        await admin.close()
    wanted = (settings.kafka_topic_prefix + topic.name for topic in TOPICS)
    return [name for name in wanted if name not in existing]
