"""What is shown straight from a row is what the typed model shows."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from reservations.http.rendering import body_of, party_shown, payments_shown, reservation_shown
from reservations.models.commands import EmergencyContact
from reservations.models.reservation import (
    Participant,
    ParticipantDetails,
    PaymentEntry,
    Reservation,
    ReservationDetails,
    Told,
)
from reservations.models.vocabulary import BookingSource, PaymentStatus, Role, Status

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2085, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
CENTS = st.decimals(0, 99_999_999, places=2)
TEXT = st.text(min_size=1, max_size=20)
MAYBE = st.none() | TEXT

PARTICIPANTS = st.builds(
    Participant,
    participant_id=st.uuids(),
    guest_id=st.uuids(),
    role=st.sampled_from(Role),
    waiver_signed=st.booleans(),
    medical_clearance=st.booleans(),
    gear_assignment_id=MAYBE,
    checked_in=st.booleans(),
    check_in_time=st.none() | INSTANTS,
)
PAYMENTS = st.builds(
    PaymentEntry,
    event_id=st.uuids(),
    payment_id=TEXT,
    status=st.sampled_from(PaymentStatus),
    amount=CENTS,
    moved_at=INSTANTS,
)
RESERVATIONS = st.builds(
    Reservation,
    reservation_id=st.uuids(),
    guest_id=st.uuids(),
    trip_id=st.uuids(),
    confirmation_code=st.just("A2PRKV9SCEW7"),
    status=st.sampled_from(Status),
    trip_date=st.dates(date(2000, 1, 1), date(2199, 12, 31)),
    party_size=st.integers(1, 500),
    total_amount=CENTS,
    currency=st.just("USD"),
    participants=st.lists(PARTICIPANTS, max_size=3).map(tuple),
    created_at=INSTANTS,
    updated_at=INSTANTS,
    _rev=st.integers(1, 2**31 - 1),
    booking_source=st.sampled_from(BookingSource),
    gear_package_id=st.none() | st.just("alpine-2"),
    special_requirements=st.none() | st.just("No nuts, bitte. 谢谢"),
    emergency_contact=st.none()
    | st.builds(EmergencyContact, name=st.just("Sam"), phone=st.just("1"), relationship=st.none() | st.just("sister")),
    payment_reference=MAYBE,
    promo_code=MAYBE,
    paid_amount=CENTS,
    payments=st.lists(PAYMENTS, max_size=2).map(tuple),
    told=st.none() | st.builds(Told, lane=TEXT, since_rev=st.integers(1, 9)),
)


def row_of(reservation: Reservation) -> dict[str, Any]:
    """Return the row that the worker would write, as the reader's statements give it."""
    columns = reservation.model_dump(by_alias=True)
    ids = {name: str(columns[name]) for name in ("reservation_id", "guest_id", "trip_id")}
    party = [
        (
            str(each.participant_id),
            str(each.guest_id),
            each.role.lower(),
            each.waiver_signed,
            each.model_dump_json(include=set(ParticipantDetails.model_fields)),
        )
        for each in reservation.participants
    ]
    details = reservation.model_dump_json(include=set(ReservationDetails.model_fields))
    return columns | ids | {"status": reservation.status.lower(), "details": details, "party": party}


@given(RESERVATIONS)
def test_a_row_is_shown_as_the_model_shows_it(reservation: Reservation) -> None:
    row = row_of(reservation)
    assert orjson.loads(body_of(reservation_shown(row))) == orjson.loads(reservation.shown())
    party = [each.model_dump(mode="json") for each in reservation.participants]
    assert orjson.loads(body_of(party_shown(row["party"]))) == party
    entries = [each.model_dump(mode="json") for each in reservation.payments]
    assert payments_shown(row) == {"paid_amount": float(reservation.paid_amount), "entries": entries}


def test_a_row_without_details_shows_the_defaults() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = row_of(
        Reservation(
            reservation_id="01900000-0000-7000-8000-000000000000",
            guest_id="01900000-0000-7000-8000-000000000000",
            trip_id="01900000-0000-7000-8000-000000000000",
            confirmation_code="A2PRKV9SCEW7",
            status=Status.CONFIRMED,
            trip_date=date(2026, 1, 1),
            party_size=1,
            total_amount=Decimal("1.5"),
            currency="USD",
            created_at=at,
            updated_at=at,
            rev=1,
        )
    )
    assert reservation_shown(row | {"details": "{}"}) == reservation_shown(row)
    assert payments_shown(row | {"details": "{}"}) == {"paid_amount": 0.0, "entries": []}
