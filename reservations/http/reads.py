"""The reads: straight from Postgres, on the reader's role."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import asyncpg
import orjson
import structlog
from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from reservations.http.callers import caller_of
from reservations.http.limits import GuessLimit
from reservations.http.problems import ProblemError, problem
from reservations.http.rendering import body_of, party_shown, payments_shown, reservation_shown
from reservations.http.requests import Query, entity_tag, is_unchanged, path_id, read_query
from reservations.http.writes import RETRY_AFTER_S, not_found
from reservations.models.access import Caller
from reservations.models.errors import ErrorCode
from reservations.models.fields import MAX_REV, Day
from reservations.models.reservation import PaymentEntry, Reservation, StatusChange
from reservations.models.results import CommandResult
from reservations.models.vocabulary import Status
from reservations.tables import inbox, reservations, status_history
from reservations.tables.search import Filters, Search, Stretch

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection, AnyPool

MAX_PAGE_SIZE = 100
#: Totals are exact up to here; pages further on are reached by the cursor.
MAX_COUNTED = 10_000
ACQUIRE_TIMEOUT_S = 5.0
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
#: What people write for other characters, and between them.
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None, "\0": None})
INCLUDE = "^(status_history|payments)(,(status_history|payments))*$"


def _as_printed(code: str | None) -> str | None:
    """Read a confirmation code as people type it: Crockford's base 32 takes o for 0, and i and l for 1."""
    if code is None:
        return None
    return code.upper().translate(_MISREAD)


def _to_cursor(given: Any) -> Any:
    try:
        return UUID(given) if given else given
    except ValueError:
        raise ValueError("must be a next_cursor, or empty for the first page") from None


class SearchQuery(Query):
    """What to search for. Dates are inclusive, on the trip date; the newest reservation comes first."""

    guest_id: UUID | None = None
    """Who booked."""
    trip_id: UUID | None = None
    """The trip."""
    status: Status | None = None
    """The status it is in."""
    start_date: Day | None = None
    """First trip date."""
    end_date: Day | None = None
    """Last trip date, inclusive."""
    confirmation_code: Annotated[str | None, AfterValidator(_as_printed), Field(max_length=40)] = None
    """The code the guest was given."""
    party_size: Annotated[int | None, Field(ge=0, le=MAX_REV)] = None
    """Seats booked."""
    page: Annotated[int, Field(ge=0, le=MAX_COUNTED)] = 0
    """Page number, from 0."""
    size: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = 20
    """Reservations on a page."""
    cursor: Annotated[UUID | Literal[""] | None, BeforeValidator(_to_cursor)] = None
    """Continue after this `next_cursor`, counting nothing; empty for the first page."""

    @field_validator("end_date")
    @classmethod
    def _ends_after_start(cls, end: date | None, earlier: ValidationInfo) -> date | None:
        start = earlier.data.get("start_date")
        if start and end and end < start:
            raise ValueError("lies before start_date")
        return end

    @field_validator("size")
    @classmethod
    def _is_near(cls, size: int, earlier: ValidationInfo) -> int:
        if earlier.data.get("page", 0) * size >= MAX_COUNTED:
            raise ValueError(f"times page goes beyond the first {MAX_COUNTED} reservations; follow next_cursor instead")
        return size

    @field_validator("cursor")
    @classmethod
    def _replaces_page(cls, cursor: UUID | str | None, earlier: ValidationInfo) -> UUID | str | None:
        if cursor is not None and earlier.data.get("page"):
            raise ValueError("can't be given together with page")
        return cursor

    def filters(self, caller: Caller) -> Filters:
        """Return what a reservation must match."""
        return Filters(
            self.guest_id,
            self.trip_id,
            self.status,
            self.start_date,
            self.end_date,
            self.confirmation_code,
            self.party_size,
            caller.acting_for,
        )


class ReservationPage(BaseModel):
    """A page of reservations, newest first."""

    content: list[Reservation]
    page: int
    size: int
    total_elements: int | None
    total_pages: int | None
    total_is_exact: bool | None
    next_cursor: UUID | None


class IncludeQuery(Query):
    """What to show besides the reservation."""

    include: Annotated[str | None, Field(pattern=INCLUDE, examples=["status_history"])] = None
    """`status_history`, `payments`, or both, comma separated."""


class Payments(BaseModel):
    """What was paid for a reservation."""

    paid_amount: float
    """Paid, less what was refunded."""
    entries: list[PaymentEntry]


def _shown_when_asked_for(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema["required"] if name not in ("status_history", "payments")]


class ReservationWithMore(Reservation):
    """A reservation, with what else was asked for."""

    model_config = ConfigDict(json_schema_extra=_shown_when_asked_for)

    status_history: list[StatusChange] | SkipJsonSchema[None] = None
    payments: Payments | SkipJsonSchema[None] = None  # type: ignore[assignment]


class CommandStatus(BaseModel):
    """Where a command stands. One that has not been handled yet is PENDING, and so is one that was never sent."""

    command_id: UUID
    status: Literal["PENDING", "APPLIED", "REJECTED", "DEAD_LETTERED"]
    result: CommandResult | None = None


class Reads:
    """The handlers that only look."""

    def __init__(self, reader: "AnyPool", guesses: GuessLimit) -> None:
        self._reader = reader
        self._guesses = guesses

    async def find(self, request: web.Request) -> web.Response:
        """GET /reservations/{reservation_id}."""
        include = read_query(request, IncludeQuery).include or "" if request.query_string else ""
        reservation_id = path_id(request, "reservation_id")
        async with self._connection() as connection:
            row = await _existing(connection, reservation_id, caller_of(request))
            if is_unchanged(request, row["_rev"]):
                return _unchanged(row)
            shown = reservation_shown(row)
            if "payments" in include:
                shown["payments"] = payments_shown(row)
            if "status_history" in include:
                history = await status_history.of_reservation(connection, reservation_id)
                shown["status_history"] = [change.model_dump(mode="json") for change in history]
        return _json(body_of(shown), {"ETag": entity_tag(row["_rev"])})

    async def participants(self, request: web.Request) -> web.Response:
        """GET /reservations/{reservation_id}/participants."""
        read_query(request, Query)
        async with self._connection() as connection:
            row = await _existing(connection, path_id(request, "reservation_id"), caller_of(request))
        if is_unchanged(request, row["_rev"]):
            return _unchanged(row)
        return _json(body_of(party_shown(row["party"])), {"ETag": entity_tag(row["_rev"])})

    async def search(self, request: web.Request) -> web.Response:
        """GET /reservations."""
        query = read_query(request, SearchQuery)
        code = query.confirmation_code
        if code is None:
            return _json(body_of(await self._found(query, caller_of(request))))
        self._guesses.check(request, code)
        page = await self._found(query, caller_of(request))
        self._guesses.settle(request, code, found=bool(page["content"] or page["total_elements"]))
        return _json(body_of(page))

    async def _found(self, query: SearchQuery, caller: Caller) -> dict[str, Any]:
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read"):
            found = Search(connection, query.filters(caller))
            stretch = await found.newest(query.size + 1, skip=query.page * query.size, before=query.cursor or None)
            total = await self._total(found, query, stretch)
            rows = await found.rows(stretch.ids[: query.size])
        return _page(query, rows, total, more=stretch.is_full)

    async def command(self, request: web.Request) -> web.Response:
        """GET /commands/{command_id}."""
        command_id = path_id(request, "command_id")
        async with self._connection() as connection:
            outcome = await inbox.outcome_of(connection, command_id, caller_of(request).sees_commands_of)
        if outcome is None:
            pending = {"command_id": command_id, "status": "PENDING", "result": None}
            return _json(orjson.dumps(pending), {"Retry-After": str(RETRY_AFTER_S)})
        status = orjson.loads(outcome)["outcome"].upper()
        return _json(orjson.dumps({"command_id": command_id, "status": status, "result": orjson.Fragment(outcome)}))

    async def _total(self, found: Search, query: SearchQuery, stretch: Stretch) -> int | None:
        if query.cursor is not None:
            return None
        return await found.count(at_most=MAX_COUNTED + 1) if stretch.total is None else stretch.total

    def _connection(self) -> "_Lent":
        return _Lent(self._reader)


class _Lent:
    """A connection of the pool while the context lasts. A class: a generator costs each read some microseconds more."""

    __slots__ = ("_connection", "_reader")

    def __init__(self, reader: "AnyPool") -> None:
        self._reader = reader

    async def __aenter__(self) -> "AnyConnection":
        try:
            if self._reader.get_idle_size():
                self._connection = await self._reader.acquire()
            else:
                async with asyncio.timeout(ACQUIRE_TIMEOUT_S):  # the pool's own limit makes a task for each request
                    self._connection = await self._reader.acquire()
        except AWAY as error:
            raise _unavailable(error) from None
        return self._connection

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            await self._reader.release(self._connection)
        except AWAY as also:
            error = error or also
        # What can't be encoded is no fault of the server.
        if isinstance(error, AWAY) and not isinstance(error, ValueError):
            raise _unavailable(error) from None


def _unavailable(error: BaseException) -> ProblemError:
    structlog.get_logger().warning("database_away", error=type(error).__name__)
    return problem(ErrorCode.DATABASE_UNAVAILABLE, "Reads can't be answered now; try again.")


async def _existing(connection: "AnyConnection", reservation_id: UUID, caller: Caller) -> "Record":
    row = await reservations.find(connection, reservation_id, caller.acting_for)
    if row is None:
        raise not_found(reservation_id)
    return row


def _page(query: SearchQuery, rows: "Sequence[Record]", total: int | None, *, more: bool) -> dict[str, Any]:
    counted = None if total is None else min(total, MAX_COUNTED)
    return {
        "content": [reservation_shown(row) for row in rows],
        "page": query.page,
        "size": query.size,
        "total_elements": counted,
        "total_pages": None if counted is None else -(-counted // query.size),
        "total_is_exact": None if total is None else total <= MAX_COUNTED,
        "next_cursor": rows[-1]["reservation_id"] if more else None,
    }


def _json(body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, headers=headers, content_type="application/json")


def _unchanged(row: "Record") -> web.Response:
    return web.Response(status=304, headers={"ETag": entity_tag(row["_rev"])})
