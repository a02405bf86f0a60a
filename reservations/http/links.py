"""Where an answer leads: the operations that its values are good for, as OpenAPI links."""

from collections.abc import Mapping
from dataclasses import dataclass

CREATED = "$response.body#/reservation_id"
ASKED_FOR = "$request.path.reservation_id"

_READS = ("getReservation", "getParticipants")
_CHANGES = ("updateReservation", "addParticipant", "updateReservationStatus", "cancelReservation")


@dataclass(frozen=True, slots=True)
class Link:
    """A way on: an operation, and where in this request or answer each of its parameters stands.

    Parameters are named by place and name, as in `path.reservation_id`; values are OpenAPI's runtime expressions.
    """

    operation_id: str
    parameters: Mapping[str, str]


def to_reservation(reservation_id: str) -> dict[str, Link]:
    """Return the ways on from an answer that tells a reservation's revision; the expression gives its id."""
    which = {"path.reservation_id": reservation_id}
    as_seen = {**which, "header.If-Match": "$response.header.ETag"}
    return {
        **{name: Link(name, which) for name in _READS},
        **{name: Link(name, as_seen) for name in _CHANGES},
    }


def to_command() -> dict[str, Link]:
    """Return the way to what became of an accepted command."""
    return {"getCommand": Link("getCommand", {"path.command_id": "$response.body#/command_id"})}


def to_next_page() -> dict[str, Link]:
    """Return the way to what a search found beyond this page."""
    return {"searchReservations": Link("searchReservations", {"query.cursor": "$response.body#/next_cursor"})}
