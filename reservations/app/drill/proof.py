"""The proof of a drill: what the database holds is what the ledger says, and the service's own invariants hold."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from reservations.app.drill.ledger import Answered
from reservations.models.results import OutcomeKind
from reservations.tables import trip_slots
from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SHOWN = 3
SQL = load("proof.sql", __package__)

#: The queries that find what breaks an invariant, and what they find.
INVARIANTS: Mapping[str, str] = {
    "gaps": "bookings whose revisions have a gap",
    "history": "bookings whose history does not lead to their status",
    "guest_days": "guest days that are not those of active bookings",
}


async def differences(connection: "AnyConnection", answered: Sequence[Answered]) -> list[str]:
    """Compare a database with all that was answered before a moment; return everything that differs."""
    kept = {row["reservation_id"]: _kept(dict(row)) for row in await connection.fetch(SQL["reservations"])}
    outcomes = {row["message_id"]: row["outcome"] for row in await connection.fetch(SQL["inbox"])}
    results = {each.command.command_id: each.result for each in answered}
    return [
        *_compare("bookings", kept, _expected(answered)),
        *_compare("answers in the inbox", outcomes, results),
        *await _broken(connection),
    ]


async def _broken(connection: "AnyConnection") -> list[str]:
    found = [_said(what, [row[0] for row in await connection.fetch(SQL[name])]) for name, what in INVARIANTS.items()]
    wrong = await trip_slots.imbalances(connection)
    found.append(_said("trip dates whose seats do not balance", [each.trip_id for each in wrong]))
    return [line for lines in found for line in lines]


def _compare(what: str, kept: Mapping[UUID, Any], expected: Mapping[UUID, Any]) -> list[str]:
    differing = [key for key in kept.keys() & expected.keys() if kept[key] != expected[key]]
    return [
        *_said(f"{what} missing", expected.keys() - kept.keys()),
        *_said(f"{what} too many", kept.keys() - expected.keys()),
        *_said(f"{what} that differ", differing),
    ]


def _said(what: str, ids: Collection[UUID]) -> list[str]:
    shown = ", ".join(sorted(map(str, ids))[:SHOWN])
    return [f"{len(ids)} {what}: {shown}{', …' if len(ids) > SHOWN else ''}"] if ids else []


def _kept(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["_rev"],
        row["status"],
        row["party_size"],
        row["trip_date"],
        str(row["guest_id"]),
        sorted(map(str, row["participants"])),
    )


def _expected(answered: Iterable[Answered]) -> dict[UUID, tuple[Any, ...]]:
    """Return the bookings as the last answer about each shows it."""
    told = (each.told() for each in answered)
    shown = (each["reservation"] for each in told if each["outcome"] == OutcomeKind.APPLIED)
    return {
        UUID(each["reservation_id"]): (
            each["_rev"],
            each["status"],
            each["party_size"],
            each["trip_date"],
            each["guest_id"],
            sorted(guest["participant_id"] for guest in each["participants"]),
        )
        for each in shown
    }
