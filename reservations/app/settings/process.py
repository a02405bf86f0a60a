"""Settings of the processes."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]


class ProcessSettings(BaseSettings):
    """Where the processes listen, and how they run and stop."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

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
    max_batch_size: PositiveInt = 200
    """Most commands in one transaction."""
    command_timeout_s: PositiveFloat = 10
    """How long a REST write waits for its result before it answers 202."""
    stop_deadline_s: PositiveFloat = 8
    """Longest time a process takes to stop."""
    watchdog_s: Annotated[float, Field(ge=2)] = 30
    """A worker with messages and no progress for so long ends; more than twice `STATEMENT_TIMEOUT_S`."""

    @field_validator("watchdog_s")
    @classmethod
    def _outlasts_an_attempt(cls, value: float, info: ValidationInfo) -> float:
        longest_s = 2 * info.data.get("statement_timeout_s", 0)
        if value <= longest_s:
            raise ValueError(f"must be more than twice STATEMENT_TIMEOUT_S, so more than {longest_s:g}")
        return value
