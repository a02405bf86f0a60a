"""Creating the topics as they are declared, and verifying those that exist."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from reservations.app.kafka import reaching
from reservations.app.logins import check_login
from reservations.app.settings import Settings
from reservations.models.topics import TOPICS, Topic


class TopicsError(Exception):
    """The topics are not as the service needs them."""


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    await check_login(settings)
    admin = AIOKafkaAdminClient(**reaching(settings))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def ensure_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, verify those that exist; return the names of the new ones.

    Raises:
        TopicsError: the broker refused one, or one has fewer partitions than is set.
        LoginRefusedError: the broker does not let this process in.

    """
    async with _admin(settings) as admin:
        found = await _partitions(admin, settings)
        missing = [topic for topic in TOPICS if found[_name(topic, settings)] == 0]
        await _create(admin, missing, settings)
    few = [f"{name} has {count}" for name, count in found.items() if 0 < count < settings.kafka_partitions]
    if few:
        wanted = settings.kafka_partitions
        raise TopicsError(f"KAFKA_PARTITIONS is {wanted}, but {', '.join(few)}; alter the topics or the setting.")
    return [_name(topic, settings) for topic in missing]


async def missing_topics(settings: Settings, needed: Sequence[Topic] = TOPICS) -> list[str]:
    """Return the names of those topics that do not exist, or that the broker does not show to this process.

    Raises:
        LoginRefusedError: the broker does not let this process in.

    """
    async with _admin(settings) as admin:
        found = await _partitions(admin, settings, needed)
    return [name for name, count in found.items() if count == 0]


async def _partitions(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[Topic] = TOPICS
) -> dict[str, int]:
    """Return the number of partitions of each topic, 0 of one that does not exist."""
    names = [_name(topic, settings) for topic in topics]
    existing = set(await admin.list_topics()).intersection(names)
    described = await admin.describe_topics(sorted(existing)) if existing else []
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    return {name: counts.get(name, 0) for name in names}


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], settings: Settings) -> None:
    if not topics:
        return
    response = await admin.create_topics([_new(topic, settings) for topic in topics])
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise TopicsError(f"The broker refused to create {name}: {error.__name__}")


def _name(topic: Topic, settings: Settings) -> str:
    return settings.kafka_topic_prefix + topic.name


def _new(topic: Topic, settings: Settings) -> NewTopic:
    return NewTopic(
        _name(topic, settings),
        num_partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
        topic_configs={"retention.ms": str(topic.retention_ms), **topic.config},
    )
