"""Who may go on which trip: the rules that hold by what the neighbouring services know of guests and trips. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from uuid import UUID

CENT = Decimal("0.01")


class Absence(StrEnum):
    """Why there is no answer."""

    UNKNOWN = "UNKNOWN"
    """The neighbour answered that there is no such thing."""
    UNAVAILABLE = "UNAVAILABLE"
    """The neighbour could not be asked, or answered nothing that can be used."""


class GuestStatus(StrEnum):
    """Whether a guest may book."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DEACTIVATED = "DEACTIVATED"


class TripStatus(StrEnum):
    """Whether a trip is offered."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True)
class Guest:
    """What is known of a guest. Certifications are names with the last day they hold, None for ever.

    Certifications as a whole are None when they were not asked for, or could not be had.
    """

    guest_id: UUID
    status: GuestStatus
    date_of_birth: date | None
    certifications: Mapping[str, date | None] | None


@dataclass(frozen=True, slots=True)
class Trip:
    """What the catalog says of a trip; the price is in USD for one participant."""

    trip_id: UUID
    status: TripStatus
    min_participants: int
    max_participants: int
    base_price: Decimal
    age_minimum: int | None
    required_certifications: frozenset[str]
    duration_hours: Decimal | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the neighbours know. None stands for a neighbour that is not configured: its rules don't hold."""

    trips: Mapping[UUID, Trip | Absence] | None = None
    guests: Mapping[UUID, Guest | Absence] | None = None

    def trip(self, trip_id: UUID) -> Trip | Absence | None:
        """Return what is known of a trip, None when there is no catalog."""
        return None if self.trips is None else self.trips.get(trip_id, Absence.UNAVAILABLE)

    def guest(self, guest_id: UUID) -> Guest | Absence | None:
        """Return what is known of a guest, None when there are no profiles."""
        return None if self.guests is None else self.guests.get(guest_id, Absence.UNAVAILABLE)


class Requirement(StrEnum):
    """What a booking must meet."""

    GUEST_EXISTS = "GUEST_EXISTS"
    GUEST_ACTIVE = "GUEST_ACTIVE"
    TRIP_EXISTS = "TRIP_EXISTS"
    TRIP_ACTIVE = "TRIP_ACTIVE"
    PARTY_MINIMUM = "PARTY_MINIMUM"
    PARTY_MAXIMUM = "PARTY_MAXIMUM"
    AGE_MINIMUM = "AGE_MINIMUM"
    CERTIFICATION = "CERTIFICATION"
    TRIP_DATE_IN_FUTURE = "TRIP_DATE_IN_FUTURE"
    BOOKING_WINDOW = "BOOKING_WINDOW"


@dataclass(frozen=True, slots=True)
class FailedRequirement:
    """A requirement that is not met, and a sentence that names the cure."""

    requirement: Requirement
    detail: str


def failed_requirements(
    surroundings: Surroundings,
    *,
    trip_id: UUID,
    trip_date: date,
    party_size: int,
    booker: UUID,
    party: Collection[UUID],
    today: date,
    booking_window_days: int,
) -> tuple[FailedRequirement, ...]:
    """Return every requirement that a booking fails, in a fixed order; what is not known fails nothing.

    Booker and party must exist and be active. Age and certifications are asked of the party, or of the booker when
    nobody is named. Dates are judged only when there is a neighbour.
    """
    trip = surroundings.trip(trip_id)
    travellers = [guest for guest in map(surroundings.guest, _in_order(party or (booker,))) if isinstance(guest, Guest)]
    everybody = [booker, *(guest_id for guest_id in _in_order(party) if guest_id != booker)]
    failed = [failure for guest_id in everybody for failure in _guest(guest_id, surroundings.guest(guest_id))]
    failed += _trip(trip_id, trip)
    if isinstance(trip, Trip):
        failed += [*_party(trip, party_size), *_ages(trip, travellers, trip_date)]
        failed += _certifications(trip, travellers, trip_date)
    if surroundings != Surroundings():
        failed += _dates(trip_date, today, booking_window_days)
    return tuple(failed)


def unavailable(surroundings: Surroundings, trip_id: UUID, guests: Iterable[UUID]) -> bool:
    """Tell whether anything that the rules need to know of a trip and its guests could not be had."""
    trip = surroundings.trip(trip_id)
    certified = isinstance(trip, Trip) and bool(trip.required_certifications)
    return trip is Absence.UNAVAILABLE or any(_is_missing(surroundings.guest(guest), certified) for guest in guests)


def price(trip: Trip, party_size: int) -> Decimal:
    """Return what a party pays, in USD to the cent."""
    return (trip.base_price * party_size).quantize(CENT, ROUND_HALF_UP)


def age_on(day: date, born: date) -> int:
    """Return somebody's age in years; who was born on 29 February turns a year older on 1 March in other years."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def _in_order(guests: Iterable[UUID]) -> list[UUID]:
    return sorted(set(guests))


def _is_missing(guest: Guest | Absence | None, certified: bool) -> bool:
    return guest is Absence.UNAVAILABLE or (isinstance(guest, Guest) and certified and guest.certifications is None)


def _guest(guest_id: UUID, guest: Guest | Absence | None) -> Iterator[FailedRequirement]:
    if guest is Absence.UNKNOWN:
        yield FailedRequirement(
            Requirement.GUEST_EXISTS, f"There is no guest {guest_id}; register the guest first, or correct the id."
        )
    elif isinstance(guest, Guest) and guest.status is not GuestStatus.ACTIVE:
        yield FailedRequirement(
            Requirement.GUEST_ACTIVE, f"Guest {guest_id} is {guest.status}; the profile must be ACTIVE to travel."
        )


def _trip(trip_id: UUID, trip: Trip | Absence | None) -> Iterator[FailedRequirement]:
    if trip is Absence.UNKNOWN:
        yield FailedRequirement(Requirement.TRIP_EXISTS, f"There is no trip {trip_id}; choose one of the catalog.")
    elif isinstance(trip, Trip) and trip.status is not TripStatus.ACTIVE:
        yield FailedRequirement(
            Requirement.TRIP_ACTIVE, f"Trip {trip_id} is {trip.status}; only an ACTIVE trip can be booked."
        )


def _party(trip: Trip, party_size: int) -> Iterator[FailedRequirement]:
    if party_size < trip.min_participants:
        yield FailedRequirement(
            Requirement.PARTY_MINIMUM,
            f"The party is {party_size}; the trip takes parties of {trip.min_participants} or more.",
        )
    if party_size > trip.max_participants:
        yield FailedRequirement(
            Requirement.PARTY_MAXIMUM,
            f"The party is {party_size}; the trip takes parties of {trip.max_participants} or less.",
        )


def _ages(trip: Trip, travellers: Iterable[Guest], trip_date: date) -> Iterator[FailedRequirement]:
    if trip.age_minimum is None:
        return
    for guest in travellers:
        if guest.date_of_birth is None:
            detail = f"Guest {guest.guest_id} has no date of birth; add it, the trip has a minimum age."
        elif age_on(trip_date, guest.date_of_birth) < trip.age_minimum:
            detail = f"Guest {guest.guest_id} must be {trip.age_minimum} or older on {trip_date}; choose another trip."
        else:
            continue
        yield FailedRequirement(Requirement.AGE_MINIMUM, detail)


def _certifications(trip: Trip, travellers: Iterable[Guest], trip_date: date) -> Iterator[FailedRequirement]:
    for guest in travellers:
        for name in sorted(trip.required_certifications):
            if guest.certifications is not None and not _holds(guest.certifications, name, trip_date):
                yield FailedRequirement(
                    Requirement.CERTIFICATION,
                    f"Guest {guest.guest_id} needs {name}, valid on {trip_date}; add or renew it in the profile.",
                )


def _holds(certifications: Mapping[str, date | None], name: str, day: date) -> bool:
    if name not in certifications:
        return False
    last_day = certifications[name]
    return last_day is None or last_day >= day


def _dates(trip_date: date, today: date, booking_window_days: int) -> Iterator[FailedRequirement]:
    if trip_date <= today:
        yield FailedRequirement(
            Requirement.TRIP_DATE_IN_FUTURE,
            f"The trip date {trip_date} is not in the future; choose one after {today}.",
        )
    elif (trip_date - today).days > booking_window_days:
        last = today + timedelta(days=booking_window_days)
        yield FailedRequirement(
            Requirement.BOOKING_WINDOW, f"The trip date {trip_date} is too far ahead; choose one until {last}."
        )
