"""Settings of the broker and its topics."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from reservations.models.topics import DAY_MS, DEAD_LETTERS, Topic


class KafkaSettings(BaseSettings):
    """Where the brokers are, and how topics and groups are named, made and read."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    kafka_bootstrap_servers: str = ""
    """Kafka brokers, `host:port`, comma separated. When unset, `make run` starts a broker of its own."""
    kafka_topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*$")] = ""
    """Put before the name of every topic and group, to share a cluster."""
    kafka_group: Annotated[str, Field(min_length=1)] = "svc-reservations"
    """Consumer group of the workers."""
    kafka_partitions: PositiveInt = 12
    """Partitions of the topics that are created."""
    kafka_replication_factor: PositiveInt = 1
    """Replicas of the topics that are created."""
    dead_letter_retention_days: PositiveInt = 90
    """How long the topic of the dead letters keeps them; `reservations topics` sees to it."""
    kafka_enable_idempotence: bool = True
    """Idempotent producer. Off only for a broker that lacks it, as the embedded one does."""
    kafka_fetch_wait_ms: PositiveInt = 20
    """How long a fetch waits for messages; the embedded broker wakes no waiting fetch: a message may wait as long."""
    kafka_session_timeout_s: PositiveFloat = 10
    """A worker that is silent for so long loses its partitions."""
    kafka_rebalance_timeout_s: PositiveFloat = 10
    """How long workers have to hand partitions over."""

    def retention_ms(self, topic: Topic) -> int:
        """Return how long a topic shall keep its messages."""
        return self.dead_letter_retention_days * DAY_MS if topic is DEAD_LETTERS else topic.retention_ms

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for server in filter(None, value.split(",")):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{server.strip()!r} is not host:port, as in localhost:9092")
        return value
