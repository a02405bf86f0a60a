"""The books: which seats of a trip date are taken, and which guests travel on which day."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from reservations.models.errors import ErrorCode, Rejected
from reservations.models.reservation import Reservation
from reservations.models.vocabulary import FINAL

Slot = tuple[UUID, date]
GuestDay = tuple[UUID, date]


def in_order(keys: Iterable[tuple[UUID, date]]) -> list[tuple[UUID, date]]:
    """Return trip dates or guest days in the order in which the database sorts them; numbers compare fastest."""
    return sorted(keys, key=lambda key: (key[0].int, key[1]))


@dataclass(frozen=True, slots=True)
class Seats:
    """Seats of a trip date: how many there are, None when that is not known, and how many are taken."""

    capacity: int | None = None
    taken: int = 0


@dataclass(frozen=True, slots=True)
class SeatChange:
    """What a batch does to a trip date: seats taken, less those given back, and `peak`, the most it took on the way.

    `peak` is None when nothing was taken. `capacity` is what the catalog told, None if it did not.
    """

    seats: int
    peak: int | None
    capacity: int | None


@dataclass(frozen=True, slots=True)
class Holding:
    """What an active reservation holds: seats of a trip date, and the day of its guest."""

    reservation_id: UUID
    slot: Slot
    guest_day: GuestDay
    seats: int


def holding_of(reservation: Reservation | None) -> Holding | None:
    """Return what a reservation holds; one that is final holds nothing."""
    if reservation is None or reservation.status in FINAL:
        return None
    return Holding(
        reservation.reservation_id,
        slot_of(reservation),
        (reservation.guest_id, reservation.trip_date),
        reservation.party_size,
    )


def slot_of(reservation: Reservation) -> Slot:
    """Return the trip date that a reservation is for."""
    return (reservation.trip_id, reservation.trip_date)


class Books:
    """Seats and guest days as they were read, and as the reservations of a batch change them."""

    def __init__(self, seats: Mapping[Slot, Seats] | None = None, days: Mapping[GuestDay, UUID] | None = None) -> None:
        self._seats_read = dict(seats or {})
        self._days_read = dict(days or {})
        self._seats = dict(self._seats_read)
        self._days = dict(self._days_read)
        self._changes: dict[Slot, SeatChange] = {}
        self.found_full = False
        """Whether somebody was refused for want of seats: true only as far as the seats were read under a lock."""

    def refuse(self, old: Holding | None, new: Holding | None, capacity: int | None) -> Rejected | None:
        """Return why a reservation can't hold this instead of that; capacity is what is known of the new trip date."""
        if new is None:
            return None
        if self._days.get(new.guest_day, new.reservation_id) != new.reservation_id:
            return Rejected(
                ErrorCode.OVERLAPPING_RESERVATION,
                f"The guest has another reservation for {new.slot[1]}; cancel that one or choose another date.",
                {"trip_date": new.slot[1].isoformat()},
            )
        return self._refuse_seats(old, new, capacity)

    def _refuse_seats(self, old: Holding | None, new: Holding, capacity: int | None) -> Rejected | None:
        held = old.seats if old and old.slot == new.slot else 0
        seats = self._seats.get(new.slot, Seats())
        known = seats.capacity if capacity is None else capacity
        if known is None or new.seats <= held or seats.taken - held + new.seats <= known:
            return None
        self.found_full = True
        free = max(0, known - seats.taken + held)
        return Rejected(
            ErrorCode.TRIP_FULLY_BOOKED,
            f"The trip has {free} of {known} seats left on {new.slot[1]}, {new.seats} are asked for.",
            {"trip_date": new.slot[1].isoformat(), "free_seats": free},
        )

    def move(self, old: Holding | None, new: Holding | None, capacity: int | None = None) -> None:
        """Give back what a reservation held, and take what it holds now."""
        if old == new:
            return
        held = old.seats if old and new and old.slot == new.slot else 0
        if old:
            self._days.pop(old.guest_day, None)
            if not held:
                self._take(old.slot, -old.seats)
        if new:
            self._days[new.guest_day] = new.reservation_id
            self._take(new.slot, new.seats - held, capacity)

    def _take(self, slot: Slot, seats: int, capacity: int | None = None) -> None:
        now = self._seats.get(slot, Seats())
        taken = now.taken + seats
        known = now.capacity if capacity is None else capacity
        # A trip that shrank below what is sold stays at what is sold.
        self._seats[slot] = Seats(None if known is None else max(known, taken), taken)
        before = self._changes.get(slot, SeatChange(0, None, None))
        change = before.seats + seats
        peak = before.peak if seats <= 0 else change if before.peak is None else max(before.peak, change)
        self._changes[slot] = SeatChange(change, peak, before.capacity if capacity is None else capacity)

    def seats(self) -> Mapping[Slot, Seats]:
        """Return the seats as they are now."""
        return self._seats

    def days(self) -> Mapping[GuestDay, UUID]:
        """Return the guest days as they are held now."""
        return self._days

    @property
    def slots_read(self) -> Collection[Slot]:
        """The trip dates that were found."""
        return self._seats_read.keys()

    def seat_changes(self) -> list[tuple[Slot, SeatChange]]:
        """Return what is done to trip dates, in the order of their keys."""
        return [(slot, self._changes[slot]) for slot in in_order(self._changes)]

    def freed_days(self) -> list[tuple[GuestDay, UUID]]:
        """Return the guest days that are no longer held by the reservation that held them, in order."""
        return _changed_days(self._days_read, self._days)

    def claimed_days(self) -> list[tuple[GuestDay, UUID]]:
        """Return the guest days that are newly held, in order."""
        return _changed_days(self._days, self._days_read)


def _changed_days(days: Mapping[GuestDay, UUID], before: Mapping[GuestDay, UUID]) -> list[tuple[GuestDay, UUID]]:
    changed = {day: holder for day, holder in days.items() if before.get(day) != holder}
    return [(day, changed[day]) for day in in_order(changed)]


def balance(reservations: Iterable[Reservation]) -> dict[Slot, int]:
    """Return the seats that reservations hold, by trip date: what the books must say."""
    taken: dict[Slot, int] = {}
    for holding in filter(None, map(holding_of, reservations)):
        taken[holding.slot] = taken.get(holding.slot, 0) + holding.seats
    return taken
