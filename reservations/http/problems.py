"""Errors as callers see them: one form for every 4xx and 5xx, one mapping from codes to statuses."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

import orjson
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict

from reservations.http.tracing import trace_of
from reservations.models.errors import ErrorCode, Rejected

STATUSES: Mapping[ErrorCode, int] = {
    ErrorCode.VALIDATION_FAILED: 400,
    ErrorCode.FIELD_NOT_MODIFIABLE: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.RESERVATION_NOT_FOUND: 404,
    ErrorCode.ROUTE_NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.RESERVATION_EXISTS: 409,
    ErrorCode.REVISION_CONFLICT: 409,
    ErrorCode.TRANSITION_NOT_ALLOWED: 409,
    ErrorCode.NOT_MODIFIABLE: 409,
    ErrorCode.NOT_CANCELLABLE: 409,
    ErrorCode.PARTY_FULL: 409,
    ErrorCode.TRIP_FULLY_BOOKED: 409,
    ErrorCode.OVERLAPPING_RESERVATION: 409,
    ErrorCode.PAYMENT_CURRENCY_MISMATCH: 409,
    ErrorCode.PAYMENT_AMOUNT_INVALID: 409,
    ErrorCode.PAYMENT_AFTER_THE_END: 409,
    ErrorCode.PAYMENT_UNCLAIMED: 409,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
    ErrorCode.GUEST_NOT_ELIGIBLE: 422,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.COMMAND_DEAD_LETTERED: 500,
    ErrorCode.INTERNAL_ERROR: 500,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.BROKER_UNAVAILABLE: 503,
    ErrorCode.DATABASE_UNAVAILABLE: 503,
    ErrorCode.UPSTREAM_UNAVAILABLE: 503,
}
RETRY_AFTER_S = 2


class Error(BaseModel):
    """The body of every 4xx and 5xx. Further members, such as `fields` or `current_rev`, depend on the code."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    error: ErrorCode
    """Machine-readable code."""
    message: str
    """What is wrong and what to do about it."""
    timestamp: AwareDatetime
    trace_id: str
    """Names this request in logs and traces."""


class ProblemError(Exception):
    """A request that can't be answered as asked."""

    def __init__(self, rejected: Rejected, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(rejected.code)
        self.rejected = rejected
        self.headers = headers or {}


def problem(code: ErrorCode, message: str, details: Mapping[str, Any] | None = None) -> ProblemError:
    """Return the error of a request; one that passes by itself says when to try again."""
    retry = {"Retry-After": str(RETRY_AFTER_S)} if STATUSES[code] == 503 else {}
    return ProblemError(Rejected(code, message, details or {}), retry)


def problem_for_now(code: ErrorCode, message: str, wait_s: float) -> ProblemError:
    """Return the error of a request that may be made again after so many seconds, rounded up."""
    return ProblemError(Rejected(code, message), {"Retry-After": str(max(1, ceil(wait_s)))})


def respond(request: web.Request, error: ProblemError) -> web.Response:
    """Return the response of an error."""
    rejected = error.rejected
    return web.Response(
        status=STATUSES[rejected.code],
        body=error_body(rejected, trace_of(request).trace_id),
        content_type="application/json",
        headers=error.headers,
    )


def error_body(rejected: Rejected, trace_id: str) -> bytes:
    """Return the body of an error."""
    body = {
        **rejected.details,
        "error": rejected.code,
        "message": rejected.message,
        "timestamp": datetime.now(UTC),
        "trace_id": trace_id,
    }
    return orjson.dumps(body)


def problem_of(error: web.HTTPException) -> ProblemError | None:
    """Return what the framework's own refusals are in the service's form; None for what is no error."""
    match error.status:
        case 404:
            return problem(ErrorCode.ROUTE_NOT_FOUND, "There is nothing at this address; /docs lists what there is.")
        case 405:
            allowed = error.headers.get("Allow", "")
            refusal = problem(ErrorCode.METHOD_NOT_ALLOWED, f"This address takes {allowed}.")
            refusal.headers = {"Allow": allowed}
            return refusal
        case 413:
            return problem(ErrorCode.PAYLOAD_TOO_LARGE, "The body is too large; 64 KB is the limit.")
        case status if 400 <= status < 500:
            return problem(ErrorCode.VALIDATION_FAILED, error.reason)
        case status if status >= 500:
            return problem(ErrorCode.INTERNAL_ERROR, "Something went wrong here; the trace_id names it in the logs.")
    return None
