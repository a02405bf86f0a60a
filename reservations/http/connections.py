"""Connections that can't be held open for nothing: aiohttp's, with deadlines and a limit on how many there are."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from reservations.http.problems import RETRY_AFTER_S, error_body
from reservations.models.errors import ErrorCode, Rejected

#: A request line and its fields together; aiohttp limits only each of them.
MAX_HEAD_BYTES = 64 * 1024
#: What comes after an answer that ends its connection is read for so long: a reset would take the answer with it.
LINGER_S = 2.0
#: As many refused connections may linger; who comes then finds the connection closed.
MAX_REFUSED = 100
#: A deadline is missed by one part in so many at most.
SWEEPS_PER_LIMIT = 10
LONGEST_SWEEP_S = 1.0

UNREADABLE = Rejected(ErrorCode.VALIDATION_FAILED, "This can't be read as an HTTP/1.1 request; check its first lines.")
BROKEN = Rejected(ErrorCode.INTERNAL_ERROR, "Something went wrong here; the trace_id names it in the logs.")
CROWDED = Rejected(ErrorCode.OVERLOADED, "Too many connections are open; try again.")


class Reason(StrEnum):
    """Why a connection was ended."""

    REFUSED = "refused"
    SLOW_HEAD = "slow_head"
    LARGE_HEAD = "large_head"
    ANSWER_NOT_TAKEN = "answer_not_taken"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be, and how long each may take for what."""

    max_connections: int = 1000
    request_head_limit_s: float = 10
    response_limit_s: float = 30
    keep_alive_s: float = 30

    @property
    def sweep_s(self) -> float:
        """How often connections are looked at."""
        return min(LONGEST_SWEEP_S, min(self.request_head_limit_s, self.response_limit_s) / SWEEPS_PER_LIMIT)


class Connections:
    """The open connections of a server. One timer looks at all of them; a request costs none."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.ended: Counter[Reason] = Counter()
        self._served: set[Connection] = set()
        self._refused: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(limits.sweep_s, self._sweep)

    def __len__(self) -> int:
        return len(self._served)

    @property
    def refused(self) -> int:
        """How many refused connections wait for their callers to read the answer."""
        return len(self._refused)

    def factory(self, server: web.Server, **options: Any) -> "Callable[[], Connection]":
        """Return what makes a connection of a server, with these options of aiohttp's."""
        return lambda: Connection(
            server,
            loop=self._loop,
            keepalive_timeout=self.limits.keep_alive_s,
            lingering_time=LINGER_S,
            connections=self,
            **options,
        )

    def stop(self) -> None:
        """Look no more, and let nobody linger."""
        self._timer.cancel()
        for connection in [*self._refused]:
            connection.end(Reason.REFUSED)

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in, unless there are too many."""
        has_room = len(self._served) < self.limits.max_connections
        (self._served if has_room else self._refused).add(connection)
        return has_room

    def forget(self, connection: "Connection") -> None:
        """Let a connection go that has ended."""
        self._served.discard(connection)
        self._refused.discard(connection)

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(self.limits.sweep_s, self._sweep)
        now = self._loop.time()
        for connection in [*self._served, *self._refused]:
            connection.check(now)


class Connection(RequestHandler):
    """aiohttp's connection, closed when a head does not come or an answer is not taken.

    A head is waited for from the start, and again when the first bytes of the next one are there.
    """

    __slots__ = (
        "_connections",
        "_discards",
        "_head_bytes",
        "_head_due",
        "_heads",
        "_is_refused",
        "_taken_due",
        "_wire",
    )

    def __init__(self, server: web.Server, *, connections: Connections, **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self._wire: asyncio.Transport | None = None  # aiohttp's own is gone before what was written is sent
        self._heads = 0
        self._head_bytes = 0
        self._head_due: float | None = None
        self._taken_due: float | None = None
        self._is_refused = False
        self._discards = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection, or tell it that there are too many."""
        self._wire = cast(asyncio.Transport, transport)
        if self._connections.admit(self):
            self._head_due = self._loop.time() + self._connections.limits.request_head_limit_s
            super().connection_made(transport)
        else:
            self._refuse(self._wire)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._connections.forget(self)
        self._wire = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and note whether a head has begun or is whole."""
        if self._discards:
            return
        super().data_received(data)
        if self._request_count != self._heads:
            self._heads = self._request_count
            self._head_bytes, self._head_due = 0, None
        elif self._is_waiting and data:
            self._note_part_of_head(len(data))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what no route was found for, for it is hardly HTTP, in the service's form; its text is not logged."""
        trace_id = secrets.token_hex(16)
        structlog.get_logger().info("request_unreadable", status=status, error=type(exc).__name__, trace_id=trace_id)
        if status >= 500:
            super().handle_error(request, status, exc, message)  # logs it, and raises when an answer has begun
        rejected = BROKEN if status >= 500 else UNREADABLE
        response = web.Response(status=status, body=error_body(rejected, trace_id), content_type="application/json")
        response.force_close()
        return response

    def discard_rest(self) -> None:
        """Drop what still comes, unread: unfolding a compressed body would take time for nothing."""
        self._discards = True

    def check(self, now: float) -> None:
        """Close the connection when it has missed a deadline."""
        if self._head_due is not None and now >= self._head_due:
            self.end(Reason.SLOW_HEAD)
        elif self._wire is None or self._wire.get_write_buffer_size() == 0:
            self._taken_due = None
        elif self._taken_due is None:
            self._taken_due = now + self._connections.limits.response_limit_s
        elif now >= self._taken_due:
            self.end(Reason.ANSWER_NOT_TAKEN)

    def end(self, reason: Reason) -> None:
        """Close the connection at once, whatever it still has to send."""
        if not self._is_refused:  # it was counted then
            self._connections.ended[reason] += 1
        self._head_due = self._taken_due = None
        self.force_close()
        if self._wire is not None:
            self._wire.abort()

    @property
    def _is_waiting(self) -> bool:
        """Whether nothing is in work: what comes now belongs to a head."""
        return self._heads == 0 or (self._waiter is not None and not self._waiter.done())

    def _note_part_of_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_due is None:
            self._head_due = self._loop.time() + self._connections.limits.request_head_limit_s
        if self._head_bytes > MAX_HEAD_BYTES:
            self.end(Reason.LARGE_HEAD)

    def _refuse(self, transport: asyncio.Transport) -> None:
        self._is_refused = self._discards = True
        self._connections.ended[Reason.REFUSED] += 1
        if self._connections.refused > MAX_REFUSED:
            self.end(Reason.REFUSED)
            return
        transport.write(_crowded())
        transport.write_eof()
        self._head_due = self._loop.time() + LINGER_S


def _crowded() -> bytes:
    body = error_body(CROWDED, secrets.token_hex(16))
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: {RETRY_AFTER_S}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
