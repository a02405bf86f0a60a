"""Who may go on which trip: each rule at its edge, and what holds for all of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.models.eligibility import (
    Absence,
    Guest,
    GuestStatus,
    Requirement,
    Surroundings,
    Trip,
    TripStatus,
    age_on,
    failed_requirements,
    price,
    unavailable,
)

TODAY = date(2027, 3, 1)
TRIP_DATE = date(2027, 5, 1)
BOOKER, FRIEND, STRANGER, TRIP = (UUID(int=number) for number in (1, 2, 3, 9))
GUEST = Guest(BOOKER, GuestStatus.ACTIVE, date(1990, 6, 15), {"DIVER": None, "CLIMBER": date(2027, 5, 1)})
OFFER = Trip(TRIP, TripStatus.ACTIVE, 1, 12, Decimal("199.00"), None, frozenset(), Decimal(8))


def known(offer: Trip | Absence = OFFER, **guests: Guest | Absence) -> Surroundings:
    """Return surroundings with one trip, a booker and a friend; keywords change either."""
    people: dict[UUID, Guest | Absence] = {BOOKER: GUEST, FRIEND: replace(GUEST, guest_id=FRIEND)}
    return Surroundings({TRIP: offer}, people | {{"booker": BOOKER, "friend": FRIEND}[k]: v for k, v in guests.items()})


def failures(surroundings: Surroundings, **changed: Any) -> list[Requirement]:
    """Return the requirements that a booking fails; keywords change it."""
    booking: dict[str, Any] = {
        "trip_id": TRIP,
        "trip_date": TRIP_DATE,
        "party_size": 2,
        "booker": BOOKER,
        "party": (FRIEND,),
        "today": TODAY,
        "booking_window_days": 365,
    }
    return [failure.requirement for failure in failed_requirements(surroundings, **booking | changed)]


def test_a_booking_that_meets_everything_fails_nothing() -> None:
    assert failures(known()) == []


@pytest.mark.parametrize(
    ("surroundings", "expected"),
    [
        pytest.param(known(booker=Absence.UNKNOWN), Requirement.GUEST_EXISTS, id="unknown booker"),
        pytest.param(known(friend=Absence.UNKNOWN), Requirement.GUEST_EXISTS, id="unknown participant"),
        pytest.param(
            known(booker=replace(GUEST, status=GuestStatus.SUSPENDED)), Requirement.GUEST_ACTIVE, id="suspended booker"
        ),
        pytest.param(
            known(friend=replace(GUEST, status=GuestStatus.DEACTIVATED)),
            Requirement.GUEST_ACTIVE,
            id="deactivated participant",
        ),
        pytest.param(known(Absence.UNKNOWN), Requirement.TRIP_EXISTS, id="unknown trip"),
        *(
            pytest.param(known(replace(OFFER, status=status)), Requirement.TRIP_ACTIVE, id=f"{status} trip")
            for status in TripStatus
            if status is not TripStatus.ACTIVE
        ),
        pytest.param(known(replace(OFFER, min_participants=3)), Requirement.PARTY_MINIMUM, id="party too small"),
        pytest.param(known(replace(OFFER, max_participants=1)), Requirement.PARTY_MAXIMUM, id="party too large"),
        pytest.param(known(replace(OFFER, age_minimum=37)), Requirement.AGE_MINIMUM, id="too young on the trip date"),
        pytest.param(
            known(replace(OFFER, required_certifications=frozenset({"PILOT"}))),
            Requirement.CERTIFICATION,
            id="no certification",
        ),
    ],
)
def test_each_rule_refuses_alone(surroundings: Surroundings, expected: Requirement) -> None:
    assert failures(surroundings) == [expected]


@pytest.mark.parametrize(
    ("born", "trip_date", "age"),
    [
        (date(2006, 5, 1), date(2027, 4, 30), 20),
        (date(2006, 5, 1), date(2027, 5, 1), 21),
        (date(2008, 2, 29), date(2029, 2, 28), 20),
        (date(2008, 2, 29), date(2029, 3, 1), 21),
        (date(2008, 2, 29), date(2028, 2, 28), 19),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
    ],
)
def test_a_year_is_added_on_the_birthday(born: date, trip_date: date, age: int) -> None:
    assert age_on(trip_date, born) == age


@given(st.dates(date(1920, 1, 1), date(2020, 12, 31)), st.integers(0, 30000))
def test_nobody_grows_younger(born: date, days: int) -> None:
    day = born + timedelta(days=days)
    assert 0 <= age_on(day, born) <= age_on(day + timedelta(days=1), born) <= age_on(day, born) + 1


def test_age_is_asked_of_the_party_and_not_of_a_booker_who_stays_at_home() -> None:
    offer = replace(OFFER, age_minimum=21)
    child = replace(GUEST, date_of_birth=date(2017, 1, 1))
    assert failures(known(offer, booker=child)) == []
    assert failures(known(offer, booker=child), party=(BOOKER, FRIEND)) == [Requirement.AGE_MINIMUM]
    assert failures(known(offer, booker=child), party=()) == [Requirement.AGE_MINIMUM]


def test_a_date_of_birth_is_missed_only_when_the_trip_has_a_minimum_age() -> None:
    unborn = replace(GUEST, date_of_birth=None)
    assert failures(known(friend=unborn)) == []
    assert failures(known(replace(OFFER, age_minimum=0), friend=unborn)) == [Requirement.AGE_MINIMUM]


@pytest.mark.parametrize(("days_later", "expected"), [(0, []), (1, [Requirement.CERTIFICATION])])
def test_a_certification_holds_through_its_last_day(days_later: int, expected: list[Requirement]) -> None:
    offer = replace(OFFER, required_certifications=frozenset({"CLIMBER", "DIVER"}))
    assert failures(known(offer), trip_date=TRIP_DATE + timedelta(days=days_later)) == expected


@pytest.mark.parametrize(
    ("days_ahead", "expected"),
    [
        (-1, [Requirement.TRIP_DATE_IN_FUTURE]),
        (0, [Requirement.TRIP_DATE_IN_FUTURE]),
        (1, []),
        (365, []),
        (366, [Requirement.BOOKING_WINDOW]),
    ],
)
def test_the_trip_date_lies_between_tomorrow_and_the_window(days_ahead: int, expected: list[Requirement]) -> None:
    day = TODAY + timedelta(days=days_ahead)
    assert failures(known(), trip_date=day) == expected
    assert failures(Surroundings(trips={TRIP: OFFER}), trip_date=day) == expected
    assert failures(Surroundings(guests=known().guests), trip_date=day) == expected
    assert failures(Surroundings(), trip_date=day) == []


def test_the_last_day_there_is_can_be_judged() -> None:
    assert failures(known(), trip_date=date.max) == [Requirement.BOOKING_WINDOW]
    assert failures(known(), trip_date=date.max, booking_window_days=10**9) == []


def test_a_neighbour_that_is_not_configured_has_no_rules() -> None:
    assert failures(Surroundings(trips={TRIP: replace(OFFER, age_minimum=99)}), party_size=1) == []
    assert failures(Surroundings(guests=known().guests), party_size=500) == []


def test_all_failures_are_told_together_each_with_a_sentence() -> None:
    offer = replace(
        OFFER, status=TripStatus.RETIRED, max_participants=1, age_minimum=40, required_certifications=frozenset("XY")
    )
    failed = failed_requirements(
        known(offer, booker=Absence.UNKNOWN, friend=replace(GUEST, guest_id=FRIEND, status=GuestStatus.SUSPENDED)),
        trip_id=TRIP,
        trip_date=TODAY,
        party_size=2,
        booker=BOOKER,
        party=[FRIEND, BOOKER, FRIEND],
        today=TODAY,
        booking_window_days=365,
    )
    assert [failure.requirement for failure in failed] == [
        Requirement.GUEST_EXISTS,
        Requirement.GUEST_ACTIVE,
        Requirement.TRIP_ACTIVE,
        Requirement.PARTY_MAXIMUM,
        Requirement.AGE_MINIMUM,
        Requirement.CERTIFICATION,
        Requirement.CERTIFICATION,
        Requirement.TRIP_DATE_IN_FUTURE,
    ]
    assert all(failure.detail.endswith(".") for failure in failed)
    assert str(BOOKER) in failed[0].detail
    assert not any("1990" in failure.detail for failure in failed)


@given(st.permutations([BOOKER, FRIEND, STRANGER]), st.booleans())
def test_the_order_of_the_party_makes_no_difference(party: list[UUID], as_set: bool) -> None:
    people: Mapping[UUID, Guest | Absence] = dict.fromkeys((BOOKER, FRIEND, STRANGER), Absence.UNKNOWN)
    named = set(party) if as_set else party
    asked: dict[str, Any] = {"trip_id": TRIP, "trip_date": TRIP_DATE, "party_size": 3, "booker": BOOKER}
    asked |= {"today": TODAY, "booking_window_days": 365}
    failed = failed_requirements(Surroundings(guests=people), party=named, **asked)
    assert [str(guest) in failure.detail for guest, failure in zip(sorted(party), failed, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("surroundings", "expected"),
    [
        pytest.param(Surroundings(), False, id="no neighbours"),
        pytest.param(known(), False, id="all known"),
        pytest.param(known(Absence.UNKNOWN, booker=Absence.UNKNOWN), False, id="unknown is an answer"),
        pytest.param(known(Absence.UNAVAILABLE), True, id="the trip"),
        pytest.param(known(friend=Absence.UNAVAILABLE), True, id="a guest"),
        pytest.param(Surroundings(trips={}), True, id="a trip that was not asked for"),
        pytest.param(Surroundings(guests={BOOKER: GUEST}), True, id="a guest who was not asked for"),
        pytest.param(known(friend=replace(GUEST, certifications=None)), False, id="certifications nobody needs"),
        pytest.param(
            known(
                replace(OFFER, required_certifications=frozenset({"DIVER"})), friend=replace(GUEST, certifications=None)
            ),
            True,
            id="certifications",
        ),
    ],
)
def test_what_is_needed_and_could_not_be_had_is_noticed(surroundings: Surroundings, expected: bool) -> None:
    assert unavailable(surroundings, TRIP, [BOOKER, FRIEND]) is expected


def test_what_is_not_known_is_not_held_against_a_guest() -> None:
    offer = replace(OFFER, required_certifications=frozenset({"DIVER"}), age_minimum=99)
    assert failures(known(offer, friend=Absence.UNAVAILABLE)) == []
    assert failures(known(replace(offer, age_minimum=None), friend=replace(GUEST, certifications=None))) == []


@pytest.mark.parametrize(
    ("base_price", "party_size", "total"), [("199.00", 2, "398.00"), ("0.005", 1, "0.01"), ("33.333", 3, "100.00")]
)
def test_a_price_is_for_the_party_and_rounded_once(base_price: str, party_size: int, total: str) -> None:
    assert str(price(replace(OFFER, base_price=Decimal(base_price)), party_size)) == total


@given(st.decimals(0, 99_999, places=2), st.integers(1, 500))
def test_a_price_in_cents_needs_no_rounding(base_price: Decimal, party_size: int) -> None:
    assert price(replace(OFFER, base_price=base_price), party_size) == base_price * party_size
