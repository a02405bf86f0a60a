"""Spans: how they begin, go from message to message, and end. Nothing in them is personal, nor what errors say."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from reservations.agents.publications import TRACE_CONTEXT

Headers = Sequence[tuple[str, bytes]]

#: W3C trace context alone. Baggage is what others choose to say, of whomever; it is neither read nor passed on.
PROPAGATOR = TraceContextTextMapPropagator()
#: A trace of its own, whatever is going on around it.
NOWHERE = Context()


def context_in(headers: Headers) -> Context:
    """Return the trace context that a message carries; an empty one if it has none."""
    told = {name: value.decode("ascii", "replace") for name, value in headers if name in TRACE_CONTEXT and value}
    return PROPAGATOR.extract(told, NOWHERE)


def is_sampled(headers: Headers) -> bool:
    """Tell whether the trace that a message carries is sampled; `traceparent` ends with its flags."""
    return any(name == "traceparent" and int(value[-2:], 16) & TraceFlags.SAMPLED for name, value in headers)


def carrying(headers: Headers, span: Span) -> list[tuple[str, bytes]]:
    """Return headers with the trace context of a span in place of theirs."""
    told: dict[str, str] = {}
    PROPAGATOR.inject(told, set_span_in_context(span, NOWHERE))
    others = (header for header in headers if header[0] not in TRACE_CONTEXT)
    return [*others, *((name, value.encode()) for name, value in told.items())]


def fail(span: Span, kind: str) -> None:
    """Say that what the span is about failed, and how it is called."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def note(span: Span, error: BaseException) -> None:
    """Say with which error it failed: its name, and a database's code; never its text, which may repeat the data."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate:
        span.set_attribute("db.response.status_code", sqlstate)
    fail(span, type(error).__name__)


@contextmanager
def lasting(spans: Iterable[Span]) -> Iterator[None]:
    """End the spans with what is done meanwhile, and note the error if it fails."""
    with failing(spans):
        yield
    for span in spans:
        span.end()


@contextmanager
def failing(spans: Iterable[Span]) -> Iterator[None]:
    """If what is done meanwhile fails, note the error, and end those spans that have not ended."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            if span.is_recording():
                note(span, error)
                span.end()
        raise
