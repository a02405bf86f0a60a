"""Every setting of the service: one environment variable each, validated once at start."""

import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from reservations.agents.clock import Deadlines
from reservations.models.steps import Rules
from reservations.tables.database import PoolLimits

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Settings by environment; each field's name in upper case is its variable. Units stand last in the names."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    database_url: str = ""
    """PostgreSQL address. When unset, `make run` starts a server of its own."""
    kafka_bootstrap_servers: str = ""
    """Kafka brokers, `host:port`, comma separated. When unset, `make run` starts a broker of its own."""

    reservations_home: Path = Path(".reservations")
    """Folder for the state of what `make run` starts."""
    simulate_neighbours: bool = True
    """Whether `make run` plays guest profiles, trip catalog and payments, beside an embedded broker only."""
    reservations_http_host: str = "127.0.0.1"
    """Address the gateway listens on."""
    reservations_http_port: Port = 8080
    """Port the gateway listens on."""
    reservations_http_reuse_port: bool = False
    """Let several gateways of this machine share the port; the system spreads the connections."""
    reservations_worker_http_host: str = "127.0.0.1"
    """Address of the worker's `/metrics` and `/health`."""
    reservations_worker_http_port: Port = 8081
    """Port of the worker's `/metrics` and `/health`; 0 takes a free one, and so does a default that is in use."""
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """`debug`, `info`, `warning` or `error`."""

    kafka_topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*$")] = ""
    """Put before the name of every topic and group, to share a cluster."""
    kafka_group: Annotated[str, Field(min_length=1)] = "svc-reservations"
    """Consumer group of the workers."""
    kafka_partitions: PositiveInt = 12
    """Partitions of the topics that are created."""
    kafka_replication_factor: PositiveInt = 1
    """Replicas of the topics that are created."""
    kafka_enable_idempotence: bool = True
    """Idempotent producer. Off only for a broker that lacks it, as the embedded one does."""
    kafka_fetch_wait_ms: PositiveInt = 20
    """How long a fetch of results waits for one; short where the broker wakes no waiting fetch, as the embedded one."""
    kafka_session_timeout_s: PositiveFloat = 10
    """A worker that is silent for so long loses its partitions."""
    kafka_rebalance_timeout_s: PositiveFloat = 10
    """How long workers have to hand partitions over."""

    pool_min_size: PositiveInt = 10
    """Database connections that a process keeps open."""
    pool_max_size: PositiveInt = 40
    """Database connections that a process may open."""
    pool_idle_timeout_s: PositiveFloat = 600
    """A connection that is idle for so long is closed."""
    statement_timeout_s: PositiveFloat = 10
    """Longest time one SQL statement may take."""

    max_batch_size: PositiveInt = 200
    """Most commands in one transaction."""
    command_timeout_s: PositiveFloat = 10
    """How long a REST write waits for its result before it answers 202."""
    stop_deadline_s: PositiveFloat = 8
    """Longest time a process takes to stop."""
    watchdog_s: Annotated[float, Field(ge=2)] = 30
    """A worker with messages and no progress for so long ends; more than twice `STATEMENT_TIMEOUT_S`."""

    guest_profiles_url: str = ""
    """Address of svc-guest-profiles. When unset, its rules of eligibility do not hold."""
    trip_catalog_url: str = ""
    """Address of svc-trip-catalog. When unset, its rules, prices and numbers of seats do not hold."""
    eligibility_budget_s: PositiveFloat = 5
    """Longest time a batch waits for the neighbours."""
    booking_window_days: PositiveInt = 730
    """How far ahead a trip may be booked."""
    deposit_ratio: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.25")
    """Share of the total that confirms a PENDING reservation once it is paid."""
    hold_hours: PositiveFloat = 24
    """How long a PENDING reservation waits for its payment before it is cancelled."""
    no_show_hours: Annotated[float, Field(ge=0)] = 0
    """How long after the end of the trip date who has not checked in becomes a NO_SHOW; 0 = never."""
    parked_payment_days: PositiveFloat = 7
    """How long a payment waits for its reservation before a person must look at it."""

    clock_interval_s: PositiveFloat = 60
    """How often a worker looks for what is due."""

    @property
    def has_neighbours(self) -> bool:
        """Whether a neighbour is configured."""
        return bool(self.guest_profiles_url or self.trip_catalog_url)

    def eligibility(self) -> str:
        """Say whose rules hold."""
        asked = {"guest profiles": self.guest_profiles_url, "trip catalog": self.trip_catalog_url}
        names = [name for name, url in asked.items() if url]
        return f"asks {' and '.join(names)}" if names else "local rules only: no neighbour is configured"

    def deadlines(self) -> Deadlines:
        """Return how long things may wait."""
        no_show = timedelta(hours=self.no_show_hours) if self.no_show_hours else None
        return Deadlines(timedelta(hours=self.hold_hours), no_show, timedelta(days=self.parked_payment_days))

    def rules(self) -> Rules:
        """Return what the house decides."""
        return Rules(self.deposit_ratio, self.booking_window_days)

    def pool_limits(self, process: str) -> PoolLimits:
        """Return the limits of a process's database pool."""
        return PoolLimits(
            f"svc-reservations {process}",
            self.pool_min_size,
            self.pool_max_size,
            self.pool_idle_timeout_s,
            self.statement_timeout_s,
        )

    @field_validator("guest_profiles_url", "trip_catalog_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with https://, or http:// for a simulation")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str) -> str:
        if value and not value.startswith(("postgres://", "postgresql://")):
            raise ValueError("must start with postgresql://, as in postgresql://user:password@host:5432/name")
        return value

    @field_validator("watchdog_s")
    @classmethod
    def _outlasts_an_attempt(cls, value: float, info: ValidationInfo) -> float:
        longest_s = 2 * info.data.get("statement_timeout_s", 0)
        if value <= longest_s:
            raise ValueError(f"must be more than twice STATEMENT_TIMEOUT_S, so more than {longest_s:g}")
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
        lines = [_complaint(str(each["loc"][0]).upper(), each["msg"], each["input"]) for each in error.errors()]
        sys.exit("These settings are not usable:\n" + "\n".join(lines))


def _complaint(name: str, message: str, value: object) -> str:
    # An address may hold a password.
    given = "" if name == "DATABASE_URL" else f" (got {value!r})"
    return f"  {name}: {message.removeprefix('Value error, ')}{given}"
