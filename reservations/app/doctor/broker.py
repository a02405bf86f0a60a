"""Examining the broker."""

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from reservations.app.doctor.findings import Finding, Stopwatch, ok, skipped, warning, wrong
from reservations.app.kafka import reaching
from reservations.app.logins import LoginRefusedError
from reservations.app.settings import Settings
from reservations.app.topics import partition_counts, settle_retention
from reservations.http.backlog import backlog
from reservations.models.topics import INTAKE

REACH_LIMIT_S = 10.0
LAG_LIMIT_S = 10.0
REQUEST_TIMEOUT_MS = 5_000
TOPICS_CURE = (
    "Run `reservations topics`. A broker does not show topics to who has no rights to them: `reservations acls` lists "
    "the rights; and see that KAFKA_TOPIC_PREFIX is right."
)


async def examine_broker(settings: Settings) -> list[Finding]:
    """Return what is found of the broker: reach, topics, partitions, retention, and how far behind the workers are."""
    watch = Stopwatch()
    try:
        async with asyncio.timeout(REACH_LIMIT_S):
            counts = await partition_counts(settings)
    except LoginRefusedError as error:
        return [_unreachable(str(error), "See that login and certificates are valid."), *_unseen()]
    except (KafkaError, OSError, TimeoutError) as error:
        cure = "Start the broker, or correct KAFKA_BOOTSTRAP_SERVERS; see the broker's log."
        return [_unreachable(f"no answer ({type(error).__name__})", cure), *_unseen()]
    reached = ok("broker.reach", settings.kafka_security_in_short(), watch.lap())
    missing = [name for name, count in counts.items() if count == 0]
    if missing:
        return [reached, wrong("broker.topics", f"missing: {', '.join(missing)}", TOPICS_CURE)]
    found = [reached, ok("broker.topics", f"all {len(counts)} exist"), _partitions(counts, settings)]
    return [*found, await _retention(settings), await _lag(settings)]


def _unreachable(seen: str, cure: str) -> Finding:
    return wrong("broker.reach", seen, cure)


def _unseen() -> list[Finding]:
    return [skipped("broker.topics", "the broker can't be reached")]


def _partitions(counts: dict[str, int], settings: Settings) -> Finding:
    few = [f"{name} has {count}" for name, count in counts.items() if count < settings.kafka_partitions]
    if few:
        cure = f"Add partitions, or set KAFKA_PARTITIONS={min(counts.values())} everywhere."
        return wrong("broker.partitions", f"{settings.kafka_partitions} are set, but {', '.join(few)}", cure)
    return ok("broker.partitions", f"{min(counts.values())} or more")


async def _retention(settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(REACH_LIMIT_S):
            differing = await settle_retention(settings, alter=False)
    except (KafkaError, OSError, TimeoutError) as error:
        return skipped("broker.retention", f"the broker does not tell ({type(error).__name__})")
    if differing:
        cure = (
            "Unless that is on purpose, run `reservations topics`, which sets the dead letters', and alter the others. "
            "`reservations acls` lists the rights that it needs."
        )
        return warning("broker.retention", " ".join(differing), cure)
    return ok("broker.retention", "as declared")


async def _lag(settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(LAG_LIMIT_S):
            waiting = await _waiting(settings)
    except (KafkaError, OSError, TimeoutError) as error:
        return skipped("broker.lag", f"the broker does not tell ({type(error).__name__})")
    if waiting > settings.max_command_backlog:
        cure = "See that workers run and get on (their log, /health/ready); start more, up to KAFKA_PARTITIONS."
        return wrong("broker.lag", f"{waiting} messages wait for the workers; gateways refuse writes", cure)
    return ok("broker.lag", f"{waiting} messages wait for the workers")


async def _waiting(settings: Settings) -> int:
    """Return how many messages of what workers read they have not committed."""
    where = {**reaching(settings), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    admin, consumer = AIOKafkaAdminClient(**where), AIOKafkaConsumer(group_id=None, **where)
    group = settings.kafka_topic_prefix + settings.kafka_group
    try:
        await admin.start()
        await consumer.start()
        counts = [await backlog(admin, consumer, settings.kafka_topic_prefix + topic.name, group) for topic in INTAKE]
    finally:
        await consumer.stop()
        await admin.close()
    return sum(counts)
