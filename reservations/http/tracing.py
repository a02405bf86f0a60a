"""What ties a request to what it causes: its trace (W3C trace context), its caller's or a new one, and its command."""

import re
import secrets
from dataclasses import dataclass
from uuid import UUID

from aiohttp import web

_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$")


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace and this service's span in it, in hexadecimal."""

    trace_id: str
    span_id: str
    flags: str = "01"

    @property
    def traceparent(self) -> str:
        """The header that hands the trace on (W3C Trace Context, section 3.2)."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


TRACE: web.RequestKey[Trace] = web.RequestKey("trace", Trace)
COMMAND_ID: web.RequestKey[UUID] = web.RequestKey("command_id", UUID)


def begin_trace(request: web.Request) -> Trace:
    """Continue the caller's trace, or start one, and keep it with the request."""
    given = _TRACEPARENT.match(request.headers.get("traceparent", ""))
    trace_id, flags = (given[1], given[2]) if given else (secrets.token_hex(16), "01")
    request[TRACE] = trace = Trace(trace_id, secrets.token_hex(8), flags)
    return trace


def trace_of(request: web.Request) -> Trace:
    """Return the trace of a request."""
    return request[TRACE]
