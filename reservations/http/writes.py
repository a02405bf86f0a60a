"""The five writes: a request becomes a command, its result becomes the response."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid5

import orjson
from aiohttp import web
from pydantic import BaseModel

from reservations.http.callers import caller_of
from reservations.http.desk import CommandDesk
from reservations.http.problems import ProblemError, problem
from reservations.http.replies import Result
from reservations.http.requests import (
    ChangeHeaders,
    Query,
    WriteHeaders,
    entity_tag,
    expected_rev,
    path_id,
    read_body,
    read_headers,
    read_query,
    waiting_limit_s,
)
from reservations.http.tracing import COMMAND_ID, trace_of
from reservations.models.access import Caller, refuse_beyond_rights
from reservations.models.commands import (
    AddParticipant,
    Cancellation,
    CancelReservation,
    Command,
    CreateReservation,
    NewParticipant,
    NewReservation,
    ReservationChanges,
    Transition,
    TransitionReservation,
    UpdateReservation,
)
from reservations.models.decisions import refuse_unmodifiable
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.fields import BodyRev
from reservations.models.identifiers import is_uuid7, unix_ms, uuid7
from reservations.models.vocabulary import CancellationReason

#: Makes a command's id from a caller's idempotency key (UUIDv5, RFC 9562 section 5.5).
IDEMPOTENCY_NAMESPACE = UUID("5f2c6f0e-7d0b-5d5e-9a77-0a4b8c3f9d21")
RETRY_AFTER_S = 1


class ReservationPatch(ReservationChanges):
    """What is to be changed, and the revision that the change is based on."""

    rev: BodyRev = None


class StatusUpdate(Transition):
    """The status to move to, and the revision that the change is based on."""

    rev: BodyRev = None


class PendingCommand(BaseModel):
    """A command that was accepted and will be applied."""

    command_id: UUID
    type: str
    status: Literal["PENDING"] = "PENDING"


class CancelQuery(Query):
    """Why the reservation is cancelled."""

    reason: CancellationReason


Render = Callable[[Result], web.Response]


class Writes:
    """The handlers that change something, each by way of a command."""

    def __init__(self, desk: CommandDesk, command_timeout_s: float) -> None:
        self._desk = desk
        self._command_timeout_s = command_timeout_s

    async def create(self, request: web.Request) -> web.Response:
        """POST /reservations."""
        headers = read_headers(request, WriteHeaders)
        payload = await read_body(request, NewReservation)
        command = CreateReservation(**_envelope(caller_of(request), headers), payload=payload)
        return await self._answer(request, headers, command, _created)

    async def patch(self, request: web.Request) -> web.Response:
        """PATCH /reservations/{reservation_id}."""
        headers, reservation_id = read_headers(request, ChangeHeaders), _reservation_id(request)
        body = await read_body(request, ReservationPatch)
        refusal = refuse_unmodifiable(body.model_extra or {})
        if refusal:
            raise ProblemError(refusal)
        command = UpdateReservation(
            **_envelope(caller_of(request), headers, reservation_id, expected_rev(request, body.rev, required=True)),
            payload=ReservationChanges.model_construct(**body.changes()),
        )
        return await self._answer(request, headers, command, _changed)

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /reservations/{reservation_id}."""
        headers, reservation_id = read_headers(request, ChangeHeaders), _reservation_id(request)
        query = read_query(request, CancelQuery)
        command = CancelReservation(
            **_envelope(caller_of(request), headers, reservation_id, expected_rev(request)),
            payload=Cancellation(reason=query.reason),
        )
        return await self._answer(request, headers, command, _changed)

    async def add_participant(self, request: web.Request) -> web.Response:
        """POST /reservations/{reservation_id}/participants."""
        headers, reservation_id = read_headers(request, ChangeHeaders), _reservation_id(request)
        payload = await read_body(request, NewParticipant)
        envelope = _envelope(caller_of(request), headers, reservation_id, expected_rev(request))
        command = AddParticipant(**envelope, payload=payload)
        return await self._answer(request, headers, command, _joined)

    async def set_status(self, request: web.Request) -> web.Response:
        """PUT /reservations/{reservation_id}/status."""
        headers, reservation_id = read_headers(request, ChangeHeaders), _reservation_id(request)
        body = await read_body(request, StatusUpdate)
        command = TransitionReservation(
            **_envelope(caller_of(request), headers, reservation_id, expected_rev(request, body.rev, required=True)),
            payload=Transition.model_validate(body.model_dump(exclude={"rev"}, exclude_unset=True)),
        )
        return await self._answer(request, headers, command, _changed)

    async def _answer(
        self, request: web.Request, headers: WriteHeaders, command: Command, render: Render
    ) -> web.Response:
        refusal = refuse_beyond_rights(command)
        if refusal:
            raise ProblemError(refusal)
        request[COMMAND_ID] = command.command_id
        limit_s = waiting_limit_s(headers.prefer, self._command_timeout_s)
        result = await self._desk.submit(command, trace_of(request), limit_s)
        if result is None:
            return _accepted(command, asked_for=limit_s == 0)
        if result["error"]:
            raise problem(ErrorCode(result["error"]["code"]), result["error"]["message"], result["error"]["details"])
        response = render(result)
        if result["replayed"]:
            response.headers["Idempotency-Replayed"] = "true"
        return response


def _reservation_id(request: web.Request) -> UUID:
    reservation_id = path_id(request, "reservation_id")
    if not is_uuid7(reservation_id):
        raise not_found(reservation_id)
    return reservation_id


def not_found(reservation_id: UUID) -> ProblemError:
    """Return the refusal of an id that no reservation has."""
    return ProblemError(Rejected(ErrorCode.RESERVATION_NOT_FOUND, f"There is no reservation {reservation_id}."))


def _envelope(
    caller: Caller, headers: WriteHeaders, reservation_id: UUID | None = None, rev: int | None = None
) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "command_id": _command_id(caller, headers.idempotency_key, now),
        "reservation_id": reservation_id,
        "issued_at": now,
        "issued_by": caller.name,
        "acting_for": caller.acting_for,
        "expected_rev": rev,
    }


def _command_id(caller: Caller, idempotency_key: str | None, now: datetime) -> UUID:
    if idempotency_key is None:
        return uuid7(unix_ms(now))
    return uuid5(IDEMPOTENCY_NAMESPACE, f"{caller.name} {idempotency_key}")


def _json(body: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def _created(result: Result) -> web.Response:
    headers = {"Location": f"/reservations/{result['reservation_id']}", **_tag(result)}
    return _json(result["reservation"], 201, headers)


def _changed(result: Result) -> web.Response:
    return _json(result["reservation"], 200, _tag(result))


def _joined(result: Result) -> web.Response:
    party = result["reservation"]["participants"]
    newcomer = next(guest for guest in party if guest["participant_id"] == result["participant_id"])
    return _json(newcomer, 201, _tag(result))


def _tag(result: Result) -> dict[str, str]:
    return {"ETag": entity_tag(result["reservation"]["_rev"])}


def _accepted(command: Command, *, asked_for: bool) -> web.Response:
    headers = {"Location": f"/commands/{command.command_id}", "Retry-After": str(RETRY_AFTER_S)}
    if asked_for:
        headers["Preference-Applied"] = "respond-async"
    pending = PendingCommand(command_id=command.command_id, type=command.type)
    return _json(pending.model_dump(mode="json"), 202, headers)
