"""Settings of tracing; whatever else there is to set has the standard's own variables, OTEL_*."""

import os
from enum import StrEnum
from importlib.util import find_spec

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
#: The more specific one counts.
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"


class Traces(StrEnum):
    """Whether there are spans."""

    ON = "on"
    OFF = "off"


class TracingSettings(BaseSettings):
    """Whether a collector is told what the processes do."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    tracing: Traces = Traces.OFF
    """`on` sends spans to an OpenTelemetry collector, found by the standard's own variables (`OTEL_*`)."""

    @field_validator("tracing")
    @classmethod
    def _can_be_had(cls, value: Traces) -> Traces:
        if value is Traces.OFF:
            return value
        if not is_installed():
            raise ValueError("needs OpenTelemetry, which is not installed: pip install 'svc-reservations[tracing]'")
        name = next((name for name in PROTOCOLS if os.environ.get(name)), "")
        if name and os.environ[name] != HTTP:
            raise ValueError(f"{name} must be {HTTP}, or not be set; most collectors take it on port 4318")
        return value


def is_installed() -> bool:
    """Tell whether the optional dependencies are there."""
    try:
        return find_spec(EXPORTER) is not None
    except ImportError:
        return False
