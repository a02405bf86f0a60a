"""The days on which guests travel: one active reservation a day."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from reservations.models.books import GuestDay
from reservations.tables.round_trips import Read, Write
from reservations.tables.statements import load

SQL = load("guest_days.sql")
Held = Sequence[tuple[GuestDay, UUID]]


def held(days: Collection[GuestDay]) -> Read[Mapping[GuestDay, UUID]]:
    """Return what reads which reservations hold these days."""
    arguments = ([guest for guest, _ in days], [day for _, day in days])
    return Read("guest_days.held", SQL["held"], arguments, _holders_of, bool(days))


def _holders_of(rows: Sequence[Any]) -> Mapping[GuestDay, UUID]:
    return {(guest, day): reservation_id for guest, day, reservation_id in rows}


def free(days: Held) -> Write | None:
    """Return what gives days back; who claims one of them must do so in a later statement."""
    return Write("guest_days.free", SQL["free"], _columns(days), len(days)) if days else None


def claim(days: Held) -> Write | None:
    """Return what takes days, given in the order of their keys.

    It raises asyncpg.UniqueViolationError where another transaction took one meanwhile.
    """
    return Write("guest_days.claim", SQL["claim"], _columns(days), len(days)) if days else None


def _columns(days: Held) -> Sequence[object]:
    return (
        [guest for (guest, _), _ in days],
        [day for (_, day), _ in days],
        [reservation_id for _, reservation_id in days],
    )
