"""Tracing of HTTP: a span for each request that comes in, and for each that goes out to a neighbour."""

from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from opentelemetry.trace import Span, SpanKind, Tracer, get_current_span, set_span_in_context, use_span

from reservations.app.tracing import messages
from reservations.app.tracing.spans import NOWHERE, PROPAGATOR, carrying, fail, lasting, note
from reservations.http.gateway import ids_of, route_of
from reservations.http.tracing import TRACE, Trace, begin_trace

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Asked all the time by what watches the service, or open for as long as somebody looks.
UNTRACED = ("/health", "/metrics", "/ops")


def traced_requests(tracer: Tracer) -> Middleware:
    """Return the middleware that gives each request a span, in its caller's trace or a new one."""

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        if route_of(request).startswith(UNTRACED):
            begin_trace(request)
            return await handler(request)
        span = _begin(tracer, request)
        request[TRACE] = _trace_of(span)
        with use_span(span, record_exception=False, set_status_on_exception=False), lasting([span]):
            response = await handler(request)
            _tell(span, request, response.status)
        return response

    return serve


def _begin(tracer: Tracer, request: web.Request) -> Span:
    # Neither address nor query: they may name a guest. The route says what was asked for.
    is_known, route = request.method in METHODS, route_of(request)
    attributes = {
        "http.request.method": request.method if is_known else "_OTHER",
        "http.route": route,
        "url.scheme": request.scheme,
    }
    name = f"{request.method if is_known else 'HTTP'} {route}"
    context = PROPAGATOR.extract(request.headers, NOWHERE)
    return tracer.start_span(name, context, SpanKind.SERVER, attributes)


def _trace_of(span: Span) -> Trace:
    told: dict[str, str] = {}
    PROPAGATOR.inject(told, set_span_in_context(span, NOWHERE))
    _, trace_id, span_id, flags = told["traceparent"].split("-")
    return Trace(trace_id, span_id, flags)


def _tell(span: Span, request: web.Request, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    span.set_attributes({f"reservations.{name}": value for name, value in ids_of(request).items()})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        fail(span, str(status))


class TracedProducer:
    """A producer whose messages carry the context of the span in which each is sent."""

    def __init__(self, producer: Any, tracer: Tracer) -> None:
        self._producer = producer
        self._tracer = tracer

    async def send_and_wait(self, topic: str, *, key: bytes, value: bytes, headers: Any) -> Any:
        """Send a message within a span; return where it lies when the broker has it."""
        span = messages.sending(self._tracer, topic, key)
        with lasting([span]):
            sent = await self._producer.send_and_wait(topic, key=key, value=value, headers=carrying(headers, span))
            span.set_attributes(messages.placed(sent.partition, sent.offset))
        return sent


def traced_calls(tracer: Tracer) -> aiohttp.TraceConfig:
    """Return what gives a span to each call that is part of something that has one, and hands the trace on."""
    config = aiohttp.TraceConfig()

    async def begin(_: aiohttp.ClientSession, call: SimpleNamespace, told: aiohttp.TraceRequestStartParams) -> None:
        call.span = None
        if get_current_span().is_recording():
            # The path is left out: it names a guest.
            attributes = {"http.request.method": told.method, "server.address": told.url.host or ""}
            call.span = tracer.start_span(told.method, kind=SpanKind.CLIENT, attributes=attributes)
            PROPAGATOR.inject(told.headers, set_span_in_context(call.span, NOWHERE))

    async def end(_: aiohttp.ClientSession, call: SimpleNamespace, told: aiohttp.TraceRequestEndParams) -> None:
        if call.span:
            call.span.set_attribute("http.response.status_code", told.response.status)
            if told.response.status >= HTTPStatus.BAD_REQUEST:
                fail(call.span, str(told.response.status))
            call.span.end()

    async def give_up(
        _: aiohttp.ClientSession, call: SimpleNamespace, told: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if call.span:
            note(call.span, told.exception)
            call.span.end()

    config.on_request_start.append(begin)
    config.on_request_end.append(end)
    config.on_request_exception.append(give_up)
    return config
