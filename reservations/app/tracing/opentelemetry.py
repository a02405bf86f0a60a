"""Tracing by OpenTelemetry: put together of its SDK, an exporter (OTLP over HTTP), and the standard's own variables."""

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.typedefs import Middleware
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from reservations import __version__
from reservations.app.settings import Settings
from reservations.app.tracing.http import TracedProducer, traced_calls, traced_requests
from reservations.app.tracing.lane import TracedLane
from reservations.app.tracing.seams import LaneTracing, Tracing
from reservations.app.tracing.sql import traced_connection
from reservations.tables.statements import names

if TYPE_CHECKING:
    from asyncpg import Connection, Record

SERVICE = "svc-reservations"
#: What a collector has not taken by then is lost; the process ends in time.
FLUSH_LIMIT_S = 2.0


def begin(settings: Settings, process: str) -> Tracing | None:
    """Return tracing of a process (`worker` or `gateway`); None where the standard's own switch turns it off."""
    if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        return None
    provider = TracerProvider(resource=resource_of(process), shutdown_on_exit=False)
    provider.sampler = LinkedSampler(provider.sampler)
    # Full, it drops what comes; its thread waits for the collector, nobody else does.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetry(settings, provider)


def resource_of(process: str) -> Resource:
    """Return who it is that tells; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before what stands here."""
    own = {"service.name": f"{SERVICE}-{process}", "service.namespace": "novatrek", "service.version": __version__}
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})


class LinkedSampler(Sampler):
    """Samples what has no parent but links as what it is linked with; all else as another sampler does.

    Otherwise a batch would be drawn anew, apart from the commands that it is for.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(  # noqa: PLR0917  # the SDK says how it is called
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return whether a span is recorded."""
        if not links or get_current_span(parent_context).get_span_context().is_valid:
            return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        is_sampled = any(link.context.trace_flags.sampled for link in links)
        return SamplingResult(Decision.RECORD_AND_SAMPLE if is_sampled else Decision.DROP, attributes)

    def get_description(self) -> str:
        """Say what it is."""
        return f"LinkedSampler({self._sampler.get_description()})"


class OpenTelemetry(Tracing):
    """Tracing of one process."""

    def __init__(self, settings: Settings, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE, __version__)
        self._topic_prefix = settings.kafka_topic_prefix
        self._group = settings.kafka_topic_prefix + settings.kafka_group
        self._database = urlsplit(settings.database_url).path.strip("/")

    def lane(self) -> LaneTracing:
        """Return what follows commands through one agent."""
        return TracedLane(self._tracer, self._topic_prefix, self._group)

    def middleware(self) -> Middleware:
        """Return what gives each request a span."""
        return traced_requests(self._tracer)

    def producer(self, producer: Any) -> Any:
        """Return a producer whose messages have spans."""
        return TracedProducer(producer, self._tracer)

    def connection_class(self) -> "type[Connection[Record]]":
        """Return a class of connections whose statements are spans."""
        return traced_connection(self._tracer, names(), self._database)

    def client(self) -> list[aiohttp.TraceConfig]:
        """Return what gives each call to a neighbour a span."""
        return [traced_calls(self._tracer)]

    async def stop(self) -> None:
        """Send what was not sent yet; what the collector does not take in time is given up."""
        await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))], timeout=FLUSH_LIMIT_S)
