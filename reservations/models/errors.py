"""The closed set of error codes: the same in HTTP bodies, command results and dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


class ErrorCode(StrEnum):
    """What can go wrong, by a stable name."""

    VALIDATION_FAILED = "VALIDATION_FAILED"
    FIELD_NOT_MODIFIABLE = "FIELD_NOT_MODIFIABLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    RESERVATION_NOT_FOUND = "RESERVATION_NOT_FOUND"
    RESERVATION_EXISTS = "RESERVATION_EXISTS"
    REVISION_CONFLICT = "REVISION_CONFLICT"
    TRANSITION_NOT_ALLOWED = "TRANSITION_NOT_ALLOWED"
    NOT_MODIFIABLE = "NOT_MODIFIABLE"
    NOT_CANCELLABLE = "NOT_CANCELLABLE"
    PARTY_FULL = "PARTY_FULL"
    TRIP_FULLY_BOOKED = "TRIP_FULLY_BOOKED"
    OVERLAPPING_RESERVATION = "OVERLAPPING_RESERVATION"
    GUEST_NOT_ELIGIBLE = "GUEST_NOT_ELIGIBLE"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    PAYMENT_CURRENCY_MISMATCH = "PAYMENT_CURRENCY_MISMATCH"
    PAYMENT_AMOUNT_INVALID = "PAYMENT_AMOUNT_INVALID"
    PAYMENT_AFTER_THE_END = "PAYMENT_AFTER_THE_END"
    PAYMENT_UNCLAIMED = "PAYMENT_UNCLAIMED"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    COMMAND_DEAD_LETTERED = "COMMAND_DEAD_LETTERED"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    OVERLOADED = "OVERLOADED"
    BROKER_UNAVAILABLE = "BROKER_UNAVAILABLE"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    INTERNAL_ERROR = "INTERNAL_ERROR"


MAX_FIELDS_NAMED = 20
_ROOT_FIELDS = {"union_tag_invalid": "type", "union_tag_not_found": "type"}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refusal: its code, a message that names the field and the cure, and what a program may want to know."""

    code: ErrorCode
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


def invalid_field(name: str, message: str) -> Rejected:
    """Return the refusal of one field's value."""
    return Rejected(
        ErrorCode.VALIDATION_FAILED, f"{name}: {message}", {"fields": [{"field": name, "message": message}]}
    )


#: pydantic's own words for these repeat what was sent, which may be anything.
_MESSAGES = {
    "union_tag_invalid": "is not a known type of command",
    "union_tag_not_found": "is required",
    "missing": "is required",
    "extra_forbidden": "is unknown",
}


def unreadable(error: ValidationError, *, below: int = 0) -> Rejected:
    """Return the refusal of what does not fit its model, naming each field from that depth on, and no value."""
    problems = error.errors(include_url=False, include_input=False)[:MAX_FIELDS_NAMED]
    fields = [{"field": _path(problem, below), "message": _message(problem)} for problem in problems]
    message = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    return Rejected(ErrorCode.VALIDATION_FAILED, message, {"fields": fields})


def _message(problem: ErrorDetails) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return _MESSAGES.get(problem["type"], problem["msg"])


def _path(problem: ErrorDetails, below: int) -> str:
    return ".".join(map(str, problem["loc"][below:])) or _ROOT_FIELDS.get(problem["type"], "body")
