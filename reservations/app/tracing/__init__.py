"""Tracing: spans are begun and ended around the parts of a process, never within them."""

from reservations.app.settings import Settings
from reservations.app.settings.tracing import Traces
from reservations.app.tracing.seams import Tracing

__all__ = ["Tracing", "begin"]


def begin(settings: Settings, process: str) -> Tracing:
    """Return what is put around the parts of a process; OpenTelemetry is imported only if it is wanted."""
    if settings.tracing is Traces.OFF:
        return Tracing()
    from reservations.app.tracing.opentelemetry import begin as begin_opentelemetry  # noqa: PLC0415

    return begin_opentelemetry(settings, process) or Tracing()
