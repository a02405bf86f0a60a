"""Reading requests: bodies, queries and headers, each against its model, refused in the service's form."""

import asyncio
import re
from typing import Annotated, Any, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reservations.http.problems import ProblemError, problem
from reservations.models.errors import ErrorCode, invalid_field, unreadable

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 64 * 1024
#: How long a body may take to come.
BODY_LIMIT_S: web.AppKey[float] = web.AppKey("body_limit_s", float)
JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})
_ENTITY_TAG = re.compile(r'(?:W/)?"([^"]*)"')
#: A revision has at most nine digits here: no reservation is changed a billion times.
IF_MATCH = r'^(\*|(W/)?"[1-9][0-9]{0,8}")$'
_WAIT = re.compile(r"\bwait=(\d{1,4})\b")


class Query(BaseModel):
    """Base of query parameters: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ReadHeaders(BaseModel):
    """Headers of a read."""

    if_none_match: Annotated[
        str | None, Field(alias="If-None-Match", description="Answer 304 when the revision is still this ETag.")
    ] = None


class WriteHeaders(BaseModel):
    """Headers of a write."""

    idempotency_key: Annotated[
        str | None,
        Field(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            pattern=r"^[\x21-\x7e]+$",
            description="A repetition with the same key takes effect once and is answered alike.",
        ),
    ] = None
    prefer: Annotated[
        str | None,
        Field(
            alias="Prefer",
            description="`respond-async` answers 202 at once; `wait=5` after at most so many seconds (RFC 7240).",
        ),
    ] = None


class ChangeHeaders(WriteHeaders):
    """Headers of a change to something that exists."""

    if_match: Annotated[
        str | None,
        Field(
            alias="If-Match",
            description="The ETag that the change is based on, instead of `_rev`.",
            json_schema_extra={"pattern": IF_MATCH},
        ),
    ] = None


async def read_body(request: web.Request, model: type[M]) -> M:
    """Return the body as the model has it.

    Raises:
        ProblemError: it did not come in time, is not JSON, or does not fit; the fields are named.

    """
    if request.content_type not in JSON_TYPES:
        raise problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Send the body as Content-Type: application/json.")
    try:
        return model.model_validate_json(await _whole(request))
    except web.RequestPayloadError:
        raise ProblemError(invalid_field("body", "is not whole, or not encoded as Content-Encoding says")) from None
    except ValidationError as error:
        raise ProblemError(unreadable(error)) from None


async def _whole(request: web.Request) -> bytes:
    if request.content.is_eof():  # it came with the head, as most do
        return await request.read()
    try:
        async with asyncio.timeout(request.app[BODY_LIMIT_S]):
            return await request.read()
    except TimeoutError:
        raise problem(ErrorCode.REQUEST_TIMEOUT, "The body did not come whole in time; send it at once.") from None


def read_query(request: web.Request, model: type[M]) -> M:
    """Return the query parameters as the model has them."""
    repeated = [name for name in request.query if len(request.query.getall(name)) > 1]
    if repeated:
        raise ProblemError(invalid_field(repeated[0], "is given more than once"))
    return _validated(model, dict(request.query))


def read_headers(request: web.Request, model: type[M]) -> M:
    """Return the headers that the model knows."""
    aliases = [field.alias for field in model.model_fields.values() if field.alias]
    return _validated(model, {alias: request.headers[alias] for alias in aliases if alias in request.headers})


def _validated(model: type[M], values: dict[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ProblemError(unreadable(error)) from None


def path_id(request: web.Request, name: str) -> UUID:
    """Return a UUID from the path."""
    try:
        return UUID(request.match_info[name])
    except ValueError:
        raise ProblemError(invalid_field(name, "must be a UUID")) from None


def entity_tag(rev: int) -> str:
    """Return the ETag of a revision."""
    return f'"{rev}"'


def is_unchanged(request: web.Request, rev: int) -> bool:
    """Tell whether the caller already has this revision (If-None-Match)."""
    given = request.headers.get("If-None-Match", "")
    return given.strip() == "*" or str(rev) in _ENTITY_TAG.findall(given)


def expected_rev(request: web.Request, body_rev: int | None = None, *, required: bool = False) -> int | None:
    """Return the revision that a change is based on, from the body's `_rev` or from If-Match."""
    matched = _matched_rev(request.headers.get("If-Match"))
    if matched is not None and body_rev is not None and matched != body_rev:
        raise ProblemError(invalid_field("_rev", f"is {body_rev}, but If-Match says {matched}"))
    rev = body_rev if matched is None else matched
    if rev is None and required:
        raise ProblemError(invalid_field("_rev", "is required: the revision that the change is based on, or If-Match"))
    return rev


def _matched_rev(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    if re.fullmatch(IF_MATCH, if_match):
        return int(_ENTITY_TAG.findall(if_match)[0])
    raise ProblemError(invalid_field("If-Match", 'must be one ETag as a read gave it, as in "3"'))


def waiting_limit_s(prefer: str | None, longest_s: float) -> float:
    """Return how long the caller wants to wait for a write's result; 0 to be answered at once."""
    if not prefer:
        return longest_s
    if "respond-async" in prefer:
        return 0
    wait = _WAIT.search(prefer)
    return min(float(wait[1]), longest_s) if wait else longest_s
