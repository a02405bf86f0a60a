"""Every setting of the service: one environment variable each, validated once at start."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Settings by environment. A field's description is its documentation; units stand last in the names."""

    model_config = SettingsConfigDict(env_prefix="", extra="ignore", frozen=True)

    database_url: Annotated[str, Field(description="PostgreSQL address. Unset: `make run` starts an embedded one.")] = ""
    kafka_bootstrap_servers: Annotated[
        str, Field(description="Kafka brokers, `host:port`, comma separated. Unset: `make run` starts an embedded one.")
    ] = ""

    reservations_home: Annotated[Path, Field(description="Folder for the state of the embedded stack.")] = Path(
        ".reservations"
    )
    reservations_http_host: Annotated[str, Field(description="Address the gateway listens on.")] = "127.0.0.1"
    reservations_http_port: Annotated[Port, Field(description="Port the gateway listens on.")] = 8080
    reservations_worker_http_host: Annotated[
        str, Field(description="Address of the worker's `/metrics` and `/health`.")
    ] = "127.0.0.1"
    reservations_worker_http_port: Annotated[
        Port, Field(description="Port of the worker's `/metrics` and `/health`; 0 takes a free one.")
    ] = 8081
    log_level: Annotated[str, Field(description="debug, info, warning or error.", pattern="^(debug|info|warning|error)$")] = (
        "info"
    )

    kafka_topic_prefix: Annotated[
        str, Field(description="Put before every topic and group name, to share a cluster.", pattern=r"^[a-zA-Z0-9._-]*$")
    ] = ""
    kafka_group: Annotated[str, Field(description="Consumer group of the workers.", min_length=1)] = "svc-reservations"
    kafka_replication_factor: Annotated[PositiveInt, Field(description="Replicas of the topics that are created.")] = 1
    kafka_partitions: Annotated[PositiveInt, Field(description="Partitions of the topics that are created.")] = 12
    kafka_enable_idempotence: Annotated[
        bool, Field(description="Idempotent producer. Off only for brokers that lack it, as the embedded one does.")
    ] = True
    kafka_session_timeout_s: Annotated[PositiveFloat, Field(description="A worker silent for this long loses its partitions.")] = 10
    kafka_rebalance_timeout_s: Annotated[PositiveFloat, Field(description="Time workers have to hand partitions over.")] = 10

    pool_min_size: Annotated[PositiveInt, Field(description="Database connections kept open by a process.")] = 10
    pool_max_size: Annotated[PositiveInt, Field(description="Database connections a process may open.")] = 40
    pool_idle_timeout_s: Annotated[PositiveFloat, Field(description="An idle connection is closed after this.")] = 600
    statement_timeout_s: Annotated[PositiveFloat, Field(description="Longest time one statement may take.")] = 10

    max_batch_size: Annotated[PositiveInt, Field(description="Most commands applied in one transaction.")] = 200
    command_timeout_s: Annotated[
        PositiveFloat, Field(description="How long a REST write waits for its result before it answers 202.")
    ] = 10
    stop_deadline_s: Annotated[PositiveFloat, Field(description="Longest time a process takes to stop.")] = 8

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str) -> str:
        if value and not value.startswith(("postgres://", "postgresql://")):
            raise ValueError("must start with postgresql://, as in postgresql://user:password@host:5432/name")
        return value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for server in filter(None, value.split(",")):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{server.strip()!r} is not host:port, as in localhost:9092")
        return value


def load_settings() -> Settings:
    """Return the settings of this process, or end it with a message that names each wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"  {str(e['loc'][0]).upper()}: {e['msg']} (got {e['input']!r})" for e in error.errors()]
        sys.exit("These settings are not usable:\n" + "\n".join(lines))
