"""What a process needs before it starts, and checks while it runs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from reservations.agents.survival import Patience, kafka_is_away, postgres_is_away
from reservations.app.database_tls import CURE, unverified_hosts
from reservations.app.logins import LoginRefusedError, check_login
from reservations.app.settings import Settings
from reservations.app.topics import missing_topics
from reservations.migrations.runner import current_version, latest_version
from reservations.models.topics import TOPICS, Topic
from reservations.tables import partitions

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

CLOSE_TIMEOUT_S = 2.0
PREPARATION_LIMIT_S = 60.0
PREPARATION_PAUSE_S = 1.0
#: The role that the pool takes on, or what it reads, is not there.
NOT_MIGRATED = (
    asyncpg.InvalidParameterValueError,
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)


class NotPreparedError(Exception):
    """The database or the broker lacks what `reservations migrate` and `reservations topics` make."""


async def open_pool(pool: "AnyPool", insist: Patience) -> None:
    """Connect the pool, however long Postgres is away, and wait a while for the schema.

    Raises:
        NotPreparedError: the schema is still older than this release.

    """

    async def connect() -> None:
        try:
            await pool
            async with pool.acquire() as connection:
                version = await current_version(connection)
        except NOT_MIGRATED as error:
            raise NotPreparedError("The database was never migrated: run `reservations migrate`.") from error
        if version < latest_version():
            raise NotPreparedError(
                f"The database is at version {version}, {latest_version()} is needed: run `reservations migrate`."
            )

    await _prepared(lambda: insist.insist("Postgres", connect, postgres_is_away))


async def start_producer(
    producer: AIOKafkaProducer, settings: Settings, insist: Patience, needed: Sequence[Topic] = TOPICS
) -> None:
    """Start the producer, however long the broker is away, and wait a while for the topics that are needed.

    Raises:
        NotPreparedError: a topic is still missing.
        LoginRefusedError: the broker does not let this process in.

    """

    async def start() -> None:
        missing = await missing_topics(settings, needed)
        if missing:
            raise NotPreparedError(
                f"These topics are missing: {', '.join(missing)}; run `reservations topics`. "
                "A broker does not show topics to who has no rights to them; `reservations acls` lists the rights."
            )
        await producer.start()

    await _prepared(lambda: insist.insist("Kafka", start, kafka_is_away))


async def _prepared(act: Callable[[], Awaitable[None]]) -> None:
    """Do what needs preparation, which may be under way: a release starts its processes all at once."""
    deadline = monotonic() + PREPARATION_LIMIT_S
    while True:
        try:
            return await act()
        except NotPreparedError as error:
            if monotonic() > deadline:
                raise
            structlog.get_logger().warning("not_prepared", message=str(error), limit_s=PREPARATION_LIMIT_S)
            await asyncio.sleep(PREPARATION_PAUSE_S)


async def check_schema(pool: "AnyPool") -> str | None:
    """Say what is wrong with the database, if anything."""
    async with pool.acquire(timeout=1) as connection:
        version = await current_version(connection)
    return None if version >= latest_version() else f"at version {version}, {latest_version()} is needed"


async def check_partitions(pool: "AnyPool") -> str | None:
    """Say what is wrong with the monthly partitions, if anything."""
    async with pool.acquire(timeout=1) as connection:
        ahead = await partitions.months_ahead(connection)
    return None if ahead >= 1 else f"{max(ahead, 0)} months ahead exist; run `reservations migrate`"


async def check_broker(producer: AIOKafkaProducer, settings: Settings) -> str | None:
    """Say what is wrong with the broker, if anything."""
    try:
        await producer.client.fetch_all_metadata()
    except KafkaError:
        try:
            await check_login(settings)
        except LoginRefusedError:
            return "the login is refused now; see that its password or certificate is valid, and restart the process"
        raise
    return None


async def close_pool(pool: "AnyPool") -> None:
    """Close the pool, in good order if that does not take long."""
    try:
        await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT_S)
    except (TimeoutError, asyncpg.InterfaceError):
        pool.terminate()


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop the producer, sending what it holds if that does not take long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(producer.stop(), CLOSE_TIMEOUT_S)


def log_start(settings: Settings) -> None:
    """Say with which servers a process starts; never with a password, which parameters of the address may hold, too."""
    structlog.get_logger().info(
        "starting",
        kafka=settings.kafka_bootstrap_servers,
        kafka_security=settings.kafka_security_in_short(),
        database=settings.database_url.rpartition("@")[2].partition("?")[0],
    )
    warn_without_tls(settings)


def warn_without_tls(settings: Settings) -> None:
    """Say loudly when the database is elsewhere and may be read, or be played by another, on the way."""
    hosts = unverified_hosts(settings.database_url)
    if hosts:
        structlog.get_logger().warning("database_without_tls", hosts=hosts, cure=CURE)
