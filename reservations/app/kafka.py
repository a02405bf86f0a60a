"""Kafka clients, with every option that matters said."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from reservations.app.settings import Settings
from reservations.http.flow import WATCHED
from reservations.models.topics import DEAD_LETTERS, MAX_DEAD_LETTER_BYTES, RESULTS, Topic

REQUEST_TIMEOUT_MS = 10_000
#: What goes to one partition at once: a batch of commands has room for its results. Brokers take 1 MB.
MAX_PRODUCED_BYTES = 256 * 1024
#: A topic that was made again, or grew, is noticed within this time.
METADATA_MAX_AGE_MS = 10_000
FETCH_WAIT_MS = 20
FLOW_FETCH_WAIT_MS = 500


def reaching(settings: Settings) -> dict[str, Any]:
    """Return the options by which every client finds the brokers and is let in."""
    return {"bootstrap_servers": settings.kafka_bootstrap_servers, **settings.kafka_security().options()}


def producer(settings: Settings, *, may_repeat: bool = False) -> AIOKafkaProducer:
    """Return a producer, not yet started, that waits for all in-sync replicas.

    One that may repeat a message after a failure works with every broker, whatever the settings.
    """
    return AIOKafkaProducer(
        **reaching(settings),
        acks="all",
        enable_idempotence=settings.kafka_enable_idempotence and not may_repeat,
        linger_ms=0,
        max_batch_size=MAX_PRODUCED_BYTES,
        max_request_size=MAX_DEAD_LETTER_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


def results_consumer(settings: Settings) -> AIOKafkaConsumer:
    """Return a consumer, not yet started, that reads all results from now on, in no group."""
    return _consumer(settings, RESULTS, since="latest", fetch_wait_ms=settings.kafka_fetch_wait_ms)


def dead_letters_consumer(settings: Settings) -> AIOKafkaConsumer:
    """Return a consumer, not yet started, that reads all dead letters from the first on, in no group."""
    return _consumer(settings, DEAD_LETTERS, since="earliest", fetch_wait_ms=FETCH_WAIT_MS)


def flow_consumer(settings: Settings) -> AIOKafkaConsumer:
    """Return a consumer, not yet started, that reads what goes on from now on, in no group."""
    return _consumer(settings, *WATCHED, since="latest", fetch_wait_ms=FLOW_FETCH_WAIT_MS)


def _consumer(settings: Settings, *topics: Topic, since: str, fetch_wait_ms: int) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        *(settings.kafka_topic_prefix + topic.name for topic in topics),
        **reaching(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset=since,
        fetch_max_wait_ms=fetch_wait_ms,
        max_partition_fetch_bytes=MAX_DEAD_LETTER_BYTES,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
