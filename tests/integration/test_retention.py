"""What is kept for a time: answered messages in the inbox, dead letters on their topic."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reservations.agents.clock import PRUNED_AT_ONCE, Clock, Deadlines
from reservations.agents.publisher import Publisher
from reservations.app.settings import Settings
from reservations.app.topics import ensure_topics, settle_retention
from reservations.models.topics import COMMANDS, DAY_MS, DEAD_LETTERS
from reservations.tables.database import WRITER
from tests.conftest import prefix
from tests.databases import Connection
from tests.servers import Server

NOW = datetime(2027, 6, 1, tzinfo=UTC)
KEPT = timedelta(days=90)
FILL = """
INSERT INTO reservations.inbox (message_id, kind, fingerprint, outcome, processed_at)
SELECT gen_random_uuid(), 'reservation.create', gen_random_uuid(), '{"outcome": "applied"}', $1
FROM generate_series(1, $2)"""
PARK = """
INSERT INTO reservations.inbox (message_id, kind, reservation_id, fingerprint, parked, processed_at)
VALUES ($1, 'payment.record', gen_random_uuid(), gen_random_uuid(), '{}', $2)"""
LEFT = "SELECT count(*) FROM reservations.inbox"


@pytest.fixture
async def clock(database: str) -> AsyncIterator[Clock]:
    """Give a worker's clock, which publishes nothing."""
    deadlines = Deadlines(hold=KEPT, no_show=None, parked=KEPT, inbox=KEPT)
    async with asyncpg.create_pool(database, min_size=1, max_size=2, server_settings=dict(WRITER)) as pool:
        yield Clock(pool, Publisher(None, ""), deadlines, now=lambda: NOW)


async def test_what_was_answered_long_ago_is_deleted_and_the_rest_stays(clock: Clock, connection: Connection) -> None:
    many = 2 * PRUNED_AT_ONCE + 1
    await connection.execute(FILL, NOW - KEPT - timedelta(seconds=1), many)
    await connection.execute(FILL, NOW - KEPT + timedelta(seconds=1), 3)
    parked: UUID = uuid4()
    await connection.execute(PARK, parked, NOW - 4 * KEPT)
    assert await clock.prune() == many
    assert await connection.fetchval(LEFT) == 4
    assert await connection.fetchval("SELECT parked FROM reservations.inbox WHERE message_id = $1", parked) == "{}"
    assert await clock.prune() == 0


async def test_what_another_has_locked_is_left_for_it(clock: Clock, database: str, connection: Connection) -> None:
    await connection.execute(FILL, NOW - 2 * KEPT, 5)
    async with connection.transaction():
        await connection.fetch("SELECT FROM reservations.inbox LIMIT 2 FOR UPDATE")
        assert await clock.prune() == 3
    assert await clock.prune() == 2


async def retention_ms(admin: AIOKafkaAdminClient, name: str) -> int:
    """Return how long a topic keeps its messages."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    (told,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return int(next(entry[1] for entry in told.resources[0][4] if entry[0] == "retention.ms"))


async def test_topics_are_made_with_their_retention_and_another_one_is_told(broker: Server) -> None:
    named = prefix()
    settings = Settings(
        kafka_bootstrap_servers=broker.address,
        kafka_topic_prefix=named,
        kafka_partitions=1,
        dead_letter_retention_days=60,
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    try:
        kept = {"retention.ms": str(3 * DAY_MS)}
        await admin.create_topics([NewTopic(named + COMMANDS.name, 1, 1, topic_configs=kept)])
        await ensure_topics(settings)
        assert await retention_ms(admin, named + DEAD_LETTERS.name) == 60 * DAY_MS
        (told,) = await settle_retention(settings)
        assert told == (
            f"{named}{COMMANDS.name} keeps messages for 3 days, 7 days are meant: "
            f"set its retention.ms to {7 * DAY_MS} unless that is on purpose."
        )
        assert await retention_ms(admin, named + COMMANDS.name) == 3 * DAY_MS
    finally:
        await admin.close()


async def test_the_retention_of_dead_letters_is_altered_where_the_broker_can(broker: Server) -> None:
    made = Settings(kafka_bootstrap_servers=broker.address, kafka_topic_prefix=prefix(), kafka_partitions=1)
    await ensure_topics(made)
    assert await settle_retention(made) == []
    wanted = made.model_copy(update={"dead_letter_retention_days": 30})
    (told,) = await settle_retention(wanted)
    assert "keeps messages for 90 days, 30 days are meant" in told
    assert told.endswith("on purpose." if broker.embedded else "altered.")
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    try:
        name = made.kafka_topic_prefix + DEAD_LETTERS.name
        assert await retention_ms(admin, name) == (90 if broker.embedded else 30) * DAY_MS
    finally:
        await admin.close()
