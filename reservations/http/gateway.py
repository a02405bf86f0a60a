"""The gateway as an application: routes, errors in one form, one log line and one measurement for each request."""

import re
from collections.abc import Callable, Sequence
from time import perf_counter

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from reservations.http.callers import Identify
from reservations.http.connections import Connection
from reservations.http.operations import Operation, routes
from reservations.http.problems import ProblemError, problem, problem_of, respond
from reservations.http.requests import BODY_LIMIT_S, MAX_BODY_BYTES
from reservations.http.tracing import COMMAND_ID, Trace, begin_trace, trace_of
from reservations.models.errors import ErrorCode

_ID = re.compile("[0-9a-fA-F-]{32,36}")

#: The body of what is refused so is not read to its end, and nothing can follow it on its connection.
UNREAD = frozenset({ErrorCode.REQUEST_TIMEOUT, ErrorCode.PAYLOAD_TOO_LARGE})

#: Told of each request: method, route, status, seconds.
Observe = Callable[[str, str, int, float], None]


def gateway(
    operations: Sequence[Operation],
    others: Sequence[web.AbstractRouteDef],
    observe: Observe,
    identify: Identify | None,
    body_limit_s: float,
    *,
    tracing: Middleware | None = None,
) -> web.Application:
    """Return the application that serves the operations to those who are identified, and other routes to anybody.

    Where there is tracing, it begins the trace of each request.
    """
    watched = [tracing, _watched(observe, trace_of)] if tracing else [_watched(observe, begin_trace)]
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[*watched, _answer_errors])
    application[BODY_LIMIT_S] = body_limit_s
    application.add_routes([*routes(operations, identify), *others])
    return application


def _watched(observe: Observe, begin: Callable[[web.Request], Trace]) -> Middleware:
    log = structlog.get_logger()  # kept: making one for each request costs more than the line

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        trace, begun = begin(request), perf_counter()
        bound = structlog.contextvars.bind_contextvars(trace_id=trace.trace_id)
        try:
            response = await handler(request)
            response.headers["traceparent"] = trace.traceparent
            took_s, route = perf_counter() - begun, route_of(request)
            observe(request.method, route, response.status, took_s)
            log.info("request", **_told(request, route, response, took_s))
        finally:
            structlog.contextvars.reset_contextvars(**bound)
        return response

    return watch


def _told(request: web.Request, route: str, response: web.StreamResponse, took_s: float) -> dict[str, object]:
    """Return what the log says of a request."""
    return {
        "method": request.method,
        "route": route,
        "status": response.status,
        "ms": round(took_s * 1000, 1),
        **ids_of(request),
    }


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProblemError as error:
        return _refuse(request, error)
    except web.HTTPException as error:
        refusal = problem_of(error)
        if refusal is None:
            raise
        return _refuse(request, refusal)
    except Exception:
        structlog.get_logger().exception("request_failed", route=route_of(request))
        return respond(
            request,
            problem(ErrorCode.INTERNAL_ERROR, "Something went wrong here; the trace_id names it in the logs."),
        )


def _refuse(request: web.Request, error: ProblemError) -> web.Response:
    response = respond(request, error)
    if error.rejected.code in UNREAD or request.content.exception() is not None:
        response.force_close()
        if isinstance(request.protocol, Connection):
            request.protocol.discard_rest()
    return response


def ids_of(request: web.Request) -> dict[str, str]:
    """Return the ids that a request is about: those in its address, and its command's."""
    ids = {name: value for name, value in request.match_info.items() if name.endswith("_id") and _ID.fullmatch(value)}
    if COMMAND_ID in request:
        ids["command_id"] = str(request[COMMAND_ID])
    return ids


def route_of(request: web.Request) -> str:
    """Return the route's pattern, never the address itself: it would be a metric's label without end."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"
