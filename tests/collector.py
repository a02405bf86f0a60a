"""An OpenTelemetry collector that keeps the spans it is sent (OTLP over HTTP, protobuf).

`python -m tests.collector` says its address and stays until its input ends.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from tests.conditions import eventually

pytest.importorskip("opentelemetry.proto", reason="tracing is not installed: pip install 'svc-reservations[tracing]'")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
ERROR = 2
HEAR_LIMIT_S = 20


@dataclass(frozen=True, slots=True)
class Told:
    """A span as it was sent; ids in hexadecimal, times in ns."""

    service: str
    kind: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, object]
    links: Sequence[str]
    """The ids of the spans that it is linked with."""
    is_error: bool
    begun_ns: int
    ended_ns: int


@dataclass(slots=True)
class Collector:
    """What has been sent so far, and where to send it."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    spans: list[Told] = field(default_factory=list)
    is_mute: bool = False
    """Whether it takes what is sent and never answers."""
    held: int = 0
    """How many requests it has left without an answer."""

    def settings(self) -> dict[str, str]:
        """Return the settings by which a process sends its spans here, soon."""
        return {"TRACING": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    async def until(
        self, enough: Callable[[list[Told]], bool], trace_id: str = "", limit_s: float = HEAR_LIMIT_S
    ) -> list[Told]:
        """Wait until the spans of a trace, or all, are enough; return them."""

        async def look() -> list[Told]:
            found = [span for span in self.spans if trace_id in ("", span.trace_id)]
            return found if enough(found) else []

        return await eventually(look, limit_s=limit_s)

    async def take(self, request: web.Request) -> web.Response:
        """Take what an exporter sends."""
        body = await request.read()
        if self.is_mute:
            self.held += 1
            await asyncio.Event().wait()
        self.bodies.append(body)
        self.spans += _read(body)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


def _read(body: bytes) -> list[Told]:
    return [
        _told(str(_values(of_process.resource.attributes)["service.name"]), span)
        for of_process in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in of_process.scope_spans
        for span in scope.spans
    ]


def _told(service: str, span: Span) -> Told:
    return Told(
        service,
        KINDS[span.kind],
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _values(span.attributes),
        [link.span_id.hex() for link in span.links],
        span.status.code == ERROR,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _values(attributes: Sequence[KeyValue]) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in attributes}


@asynccontextmanager
async def a_collector() -> AsyncIterator[Collector]:
    """Give a collector that listens on a port of this machine."""
    collector = Collector()
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.add_routes([web.post("/v1/traces", collector.take)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = "http://{}:{}".format(*runner.addresses[0])
    try:
        yield collector
    finally:
        await runner.cleanup()


async def main() -> None:
    """Collect until the input ends."""
    async with a_collector() as collector:
        sys.stdout.write(f"{collector.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
