"""Creating the topics as they are declared, and verifying those that exist."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from reservations.app.kafka import reaching
from reservations.app.logins import check_login
from reservations.app.settings import Settings
from reservations.models.topics import DAY_MS, DEAD_LETTERS, TOPICS, Topic

RETENTION = "retention.ms"
OF_TOPIC = 1  # the source of a setting that was given to the topic
#: Settings of a topic by name: the value, and whether it was given to the topic itself.
Configs = Mapping[str, tuple[str, bool]]


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
    found = await partition_counts(settings, needed)
    return [name for name, count in found.items() if count == 0]


async def partition_counts(settings: Settings, topics: Sequence[Topic] = TOPICS) -> dict[str, int]:
    """Return how many partitions each topic has, 0 if it does not exist or is not shown to this process.

    Raises:
        LoginRefusedError: the broker does not let this process in.

    """
    async with _admin(settings) as admin:
        return await _partitions(admin, settings, topics)


async def settle_retention(settings: Settings, *, alter: bool = True) -> list[str]:
    """Say which topics keep their messages for another time than is meant; set that of the dead letters right.

    The others' is left alone: no setting says what their operator wants.
    """
    names = {_name(topic, settings): topic for topic in TOPICS}
    async with _admin(settings) as admin:
        found = {name: await _configs(admin, name) for name in names}
        hidden = [name for name, configs in found.items() if RETENTION not in configs]
        wrong = [name for name, configs in found.items() if _differs(configs, settings.retention_ms(names[name]))]
        altered = [
            name
            for name in wrong
            if alter and names[name] is DEAD_LETTERS and await _alter(admin, name, settings, found)
        ]
    return [
        *(f"{name} does not show how long it keeps messages: this login needs DescribeConfigs." for name in hidden),
        *(_told(name, found[name], settings.retention_ms(names[name]), name in altered) for name in wrong),
    ]


def _told(name: str, configs: Configs, wanted_ms: int, is_altered: bool) -> str:
    kept, wanted = _days(int(configs[RETENTION][0])), _days(wanted_ms)
    cure = "altered" if is_altered else f"set its {RETENTION} to {wanted_ms} unless that is on purpose"
    return f"{name} keeps messages for {kept}, {wanted} are meant: {cure}."


def _differs(configs: Configs, wanted_ms: int) -> bool:
    return RETENTION in configs and configs[RETENTION][0] != str(wanted_ms)


def _days(milliseconds: int) -> str:
    return "ever" if milliseconds < 0 else f"{milliseconds / DAY_MS:g} days"


async def _configs(admin: AIOKafkaAdminClient, name: str) -> Configs:
    """Return the settings of a topic, each with whether it was given to the topic itself."""
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    entries = [entry for resource in response.resources for entry in resource[4]]
    return {key: (value, source == OF_TOPIC) for key, value, _, source, *_ in entries}


async def _alter(admin: AIOKafkaAdminClient, name: str, settings: Settings, found: Mapping[str, Configs]) -> bool:
    """Set the retention of the dead letters; false when the broker does not let itself be told."""
    # What is not said here falls back to the broker's default.
    own = {key: value for key, (value, is_own) in found[name].items() if is_own}
    configs = {**own, RETENTION: str(settings.retention_ms(DEAD_LETTERS))}
    try:
        responses = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)])
    except KafkaError:
        return False
    return not any(resource[0] for response in responses for resource in response.resources)


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
        topic_configs={RETENTION: str(settings.retention_ms(topic)), **topic.config},
    )
