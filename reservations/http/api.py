"""The API: its eight operations and the command status, each declared once."""

from collections.abc import Sequence

from reservations.http.links import ASKED_FOR, CREATED, to_command, to_next_page, to_reservation
from reservations.http.operations import Answer, Operation
from reservations.http.problems import Error
from reservations.http.reads import (
    CommandStatus,
    IncludeQuery,
    Reads,
    ReservationPage,
    ReservationWithMore,
    SearchQuery,
)
from reservations.http.requests import ChangeHeaders, ReadHeaders, WriteHeaders
from reservations.http.writes import CancelQuery, PendingCommand, ReservationPatch, StatusUpdate, Writes
from reservations.models.access import Action
from reservations.models.commands import NewParticipant, NewReservation
from reservations.models.reservation import Participant, Reservation

BOOKING, COMMANDS = "Booking", "Commands"
TAG = {"ETag": "The revision, quoted."}
RETRY = {"Retry-After": "Seconds after which to try again."}

REFUSED = {
    400: Answer("Something in the request is not valid; the fields are named.", Error),
    401: Answer(
        "There is no token, or none that is valid here.", Error, headers={"WWW-Authenticate": "How to say who you are."}
    ),
    403: Answer("The token does not allow this.", Error),
    429: Answer("The caller asks too often, or tried too many wrong codes.", Error, headers=RETRY),
}
MISSING = {404: Answer("There is no such reservation.", Error)}
READ_AWAY = {503: Answer("Reads can't be answered now.", Error, headers=RETRY)}
WRITE = {
    202: Answer(
        "Accepted; the result is not there yet, or was not waited for.",
        PendingCommand,
        headers={"Location": "Where the command's status is.", **RETRY},
        links=to_command(),
    ),
    **REFUSED,
    422: Answer("The idempotency key was used for another request, or somebody may not take part.", Error),
    500: Answer("The command breaks the service; it was set aside for a person to look at.", Error),
    503: Answer("Changes can't be taken now, or too many wait.", Error, headers=RETRY),
}
BODY = {
    408: Answer("The body did not come whole in time.", Error),
    413: Answer("The body is larger than 64 KB.", Error),
    415: Answer("The body is not application/json.", Error),
}
UNCHANGED = {304: Answer("The revision is still the one given.", headers=TAG)}

BOOKING_EXAMPLE = {
    "guest_id": "0b8f4a52-6f0e-4c0e-9d5e-2f6f0c1b7a11",
    "trip_id": "00000000-0000-4000-9000-000000000008",
    "trip_date": "2027-06-12",
    "participants": [{"guest_id": "0b8f4a52-6f0e-4c0e-9d5e-2f6f0c1b7a11", "role": "PRIMARY"}],
    "party_size": 2,
    "total_amount": 398.0,
    "currency": "USD",
}


def operations(writes: Writes, reads: Reads) -> Sequence[Operation]:
    """Return every operation with its handler."""
    return (*_collection(writes, reads), *_one(writes, reads), *_party(writes, reads), _status(writes), _command(reads))


def _collection(writes: Writes, reads: Reads) -> Sequence[Operation]:
    return (
        Operation(
            "GET",
            "/reservations",
            "searchReservations",
            "Search reservations",
            BOOKING,
            Action.READ,
            reads.search,
            {
                200: Answer("A page, newest first.", ReservationPage, links=to_next_page()),
                **REFUSED,
                **READ_AWAY,
            },
            description="Totals are exact up to 10,000: see `total_is_exact`. Follow `next_cursor` to count nothing.",
            query=SearchQuery,
        ),
        Operation(
            "POST",
            "/reservations",
            "createReservation",
            "Create a reservation",
            BOOKING,
            Action.CREATE,
            writes.create,
            {
                201: Answer(
                    "Created.",
                    Reservation,
                    headers={"Location": "Where it is.", **TAG},
                    links=to_reservation(CREATED),
                ),
                **WRITE,
                **BODY,
                409: Answer("The trip is fully booked that day, or the guest has another reservation for it.", Error),
            },
            headers=WriteHeaders,
            body=NewReservation,
            body_example=BOOKING_EXAMPLE,
        ),
    )


def _one(writes: Writes, reads: Reads) -> Sequence[Operation]:
    path = "/reservations/{reservation_id}"
    return (
        Operation(
            "GET",
            path,
            "getReservation",
            "Read a reservation",
            BOOKING,
            Action.READ,
            reads.find,
            {
                200: Answer("The reservation.", ReservationWithMore, headers=TAG, links=to_reservation(ASKED_FOR)),
                **UNCHANGED,
                **REFUSED,
                **MISSING,
                **READ_AWAY,
            },
            query=IncludeQuery,
            headers=ReadHeaders,
        ),
        Operation(
            "PATCH",
            path,
            "updateReservation",
            "Modify a reservation",
            BOOKING,
            Action.CHANGE,
            writes.patch,
            {
                200: Answer("Modified.", Reservation, headers=TAG, links=to_reservation(ASKED_FOR)),
                **WRITE,
                **MISSING,
                **BODY,
                409: Answer("The revision is stale, or the reservation can't be modified in its status.", Error),
            },
            headers=ChangeHeaders,
            body=ReservationPatch,
            body_example={"party_size": 3, "_rev": 1},
        ),
        Operation(
            "DELETE",
            path,
            "cancelReservation",
            "Cancel a reservation; it stays readable",
            BOOKING,
            Action.CHANGE,
            writes.cancel,
            {
                200: Answer("Cancelled.", Reservation, headers=TAG, links=to_reservation(ASKED_FOR)),
                **WRITE,
                **MISSING,
                409: Answer("It can't be cancelled in its status, or the revision is stale.", Error),
            },
            query=CancelQuery,
            headers=ChangeHeaders,
        ),
    )


def _party(writes: Writes, reads: Reads) -> Sequence[Operation]:
    path = "/reservations/{reservation_id}/participants"
    return (
        Operation(
            "GET",
            path,
            "getParticipants",
            "Read the party",
            BOOKING,
            Action.READ,
            reads.participants,
            {
                200: Answer("The participants.", Participant, many=True, headers=TAG, links=to_reservation(ASKED_FOR)),
                **UNCHANGED,
                **REFUSED,
                **MISSING,
                **READ_AWAY,
            },
            headers=ReadHeaders,
        ),
        Operation(
            "POST",
            path,
            "addParticipant",
            "Add a participant",
            BOOKING,
            Action.CHANGE,
            writes.add_participant,
            {
                201: Answer(
                    "Added.",
                    Participant,
                    headers={"ETag": "The reservation's revision, quoted."},
                    links=to_reservation(ASKED_FOR),
                ),
                **WRITE,
                **MISSING,
                **BODY,
                409: Answer("The party has no seat left, or can't be modified in its status.", Error),
            },
            headers=ChangeHeaders,
            body=NewParticipant,
            body_example={"guest_id": "3f333df6-90a4-4fda-8dd3-9485d27cee36", "role": "COMPANION"},
        ),
    )


def _status(writes: Writes) -> Operation:
    return Operation(
        "PUT",
        "/reservations/{reservation_id}/status",
        "updateReservationStatus",
        "Move a reservation to another status",
        BOOKING,
        Action.CHANGE,
        writes.set_status,
        {
            200: Answer("Moved.", Reservation, headers=TAG, links=to_reservation(ASKED_FOR)),
            **WRITE,
            **MISSING,
            **BODY,
            409: Answer("The transition is not allowed, or the revision is stale.", Error),
        },
        headers=ChangeHeaders,
        body=StatusUpdate,
        body_example={"target_status": "CHECKED_IN", "_rev": 1, "reason": "Arrived at the station"},
    )


def _command(reads: Reads) -> Operation:
    return Operation(
        "GET",
        "/commands/{command_id}",
        "getCommand",
        "Read where a command stands",
        COMMANDS,
        Action.FOLLOW,
        reads.command,
        {
            200: Answer("Its status, with its result when it has one.", CommandStatus),
            **REFUSED,
            **READ_AWAY,
        },
    )
