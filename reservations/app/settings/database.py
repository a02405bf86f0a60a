"""Settings of the database."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from reservations.app.database_tls import CURE, unverified_hosts
from reservations.tables.database import PoolLimits


class DatabaseSettings(BaseSettings):
    """Where PostgreSQL is, and what a process may take of it."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    database_url: str = ""
    """PostgreSQL address. When unset, `make run` starts a server of its own."""
    database_tls: Literal["required", "preferred"] = "preferred"
    """Without verified TLS to a database elsewhere: `required` refuses to start, `preferred` warns."""
    pool_min_size: PositiveInt = 10
    """Database connections that a process keeps open."""
    pool_max_size: PositiveInt = 40
    """Database connections that a process may open."""
    pool_idle_timeout_s: PositiveFloat = 600
    """A connection that is idle for so long is closed."""
    statement_timeout_s: PositiveFloat = 10
    """Longest time one SQL statement may take."""

    def pool_limits(self, process: str) -> PoolLimits:
        """Return the limits of a process's database pool."""
        return PoolLimits(
            f"svc-reservations {process}",
            self.pool_min_size,
            self.pool_max_size,
            self.pool_idle_timeout_s,
            self.statement_timeout_s,
        )

    @field_validator("database_tls")
    @classmethod
    def _is_kept(cls, value: str, info: ValidationInfo) -> str:
        hosts = unverified_hosts(info.data.get("database_url", ""))
        if value == "required" and hosts:
            raise ValueError(f"{', '.join(hosts)} would be spoken to without verified TLS: {CURE}")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str) -> str:
        if value and not value.startswith(("postgres://", "postgresql://")):
            raise ValueError("must start with postgresql://, as in postgresql://user:password@host:5432/name")
        return value
