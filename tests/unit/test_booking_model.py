"""The booking model under any history: whatever arrives in whatever order, the books balance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID, uuid4, uuid5

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from reservations.models.books import Books, Holding, SeatChange, Seats, balance
from reservations.models.commands import (
    AddParticipant,
    AnyCommand,
    Cancellation,
    CancelReservation,
    CreateReservation,
    NewParticipant,
    NewReservation,
    Payment,
    RecordPayment,
    ReservationChanges,
    Transition,
    TransitionReservation,
    UpdateReservation,
    fingerprint,
)
from reservations.models.eligibility import Surroundings, Trip, TripStatus
from reservations.models.errors import ErrorCode
from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.reservation import Reservation
from reservations.models.results import OutcomeKind
from reservations.models.steps import Context
from reservations.models.vocabulary import (
    FINAL,
    TRANSITIONS,
    CancellationReason,
    PaymentCurrency,
    PaymentMethod,
    PaymentStatus,
    Status,
)
from reservations.models.worksheet import Outcome, Seen, Worksheet

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMESPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
TRIPS = [uuid5(NAMESPACE, f"trip {number}") for number in range(2)]
GUESTS = [uuid5(NAMESPACE, f"guest {number}") for number in range(4)]
DAYS = [date(2027, 1, 10) + timedelta(days=number) for number in range(2)]
CAPACITY, PRICE = 5, Decimal("40.00")

CHANGES = st.fixed_dictionaries({}, optional={"trip_date": st.sampled_from(DAYS), "party_size": st.integers(1, 4)})

CATALOG = Surroundings(
    trips={
        trip: Trip(
            trip_id=trip,
            status=TripStatus.ACTIVE,
            min_participants=1,
            max_participants=CAPACITY,
            base_price=PRICE,
            age_minimum=None,
            required_certifications=frozenset(),
            duration_hours=None,
        )
        for trip in TRIPS
    }
)


class Desk(RuleBasedStateMachine):
    """A reservations desk whose database is a few dictionaries."""

    reservations = Bundle("reservations")
    commands = Bundle("commands")

    def __init__(self) -> None:
        super().__init__()
        self.random = Random(7)  # noqa: S311  # ids of a test, the same in each run
        self.made = 0
        self.states: dict[UUID, Reservation] = {}
        self.seen: dict[UUID, Seen] = {}
        self.waiting: dict[UUID, list[RecordPayment]] = {}
        self.books = Books({(trip, day): Seats() for trip in TRIPS for day in DAYS})
        self.results: dict[UUID, dict[str, Any]] = {}
        self.revs: dict[UUID, list[int]] = {}
        self.statuses: dict[UUID, list[Status]] = {}
        self.event_ids: Counter[str] = Counter()

    # ---- what the desk does with a batch ----

    def apply(self, *batch: AnyCommand) -> list[Outcome]:
        context = Context(NOW, NOW - timedelta(days=30), NOW + timedelta(days=60), self.books, CATALOG)
        sheet = Worksheet(context, self.seen, self.states, self.waiting)
        outcomes = [sheet.handle(command) for command in batch]
        self._keep(sheet)
        for outcome in outcomes:
            for each in (outcome, *outcome.released):
                self._watch(each)
        return outcomes

    def apply_at(self, rev: int | None, command: UpdateReservation | TransitionReservation) -> None:
        """Apply a change that is based on a revision: a stale one must be refused."""
        state = self.states.get(command.reservation_id)
        (outcome,) = self.apply(command)
        if state and rev is not None:
            assert (outcome.code is ErrorCode.REVISION_CONFLICT) == (state.rev != rev)

    def _keep(self, sheet: Worksheet) -> None:
        for old, now in sheet.touched():
            assert now.rev > (old.rev if old else 0)
        for key, change in sheet.changes:
            self.event_ids.update([str(change.history_id)])
            self.statuses.setdefault(key, []).append(change.new_status)
            assert change.old_status == (self.statuses[key][-2] if len(self.statuses[key]) > 1 else None)
        self.states = dict(sheet.states())
        for entry in (*sheet.new_entries(), *sheet.kept_entries()):
            self.seen[entry.message_id] = Seen(entry.fingerprint, entry.outcome, entry.publications)
            if entry.parked and entry.reservation_id:
                waiting = RecordPayment.model_validate_json(entry.parked)
                self.waiting.setdefault(entry.reservation_id, []).append(waiting)
        for key in self.waiting.keys() & self.states.keys():
            assert all(self.seen[payment.command_id].outcome for payment in self.waiting.pop(key))
        self.books = Books(sheet.context.books.seats(), dict(sheet.context.books.days()))

    def _watch(self, outcome: Outcome) -> None:
        if outcome.result is None or outcome.code is ErrorCode.IDEMPOTENCY_KEY_REUSED:
            return
        if not outcome.replayed:
            assert outcome.command.command_id not in self.results, "answered anew"
            self.results[outcome.command.command_id] = {"kind": outcome.kind, "code": outcome.code}
            if outcome.kind is OutcomeKind.APPLIED and outcome.reservation_id:
                self.revs.setdefault(outcome.reservation_id, []).append(len(self.revs.get(outcome.reservation_id, [])))
        else:
            assert self.results[outcome.command.command_id] == {"kind": outcome.kind, "code": outcome.code}

    # ---- what arrives ----

    def envelope(self, **more: Any) -> dict[str, Any]:
        self.made += 1
        return {
            "command_id": uuid5(NAMESPACE, f"command {self.made}"),
            "issued_at": NOW + timedelta(seconds=self.made),
            "issued_by": "test",
            **more,
        }

    @initialize(target=reservations)
    def ids(self) -> Any:
        return multiple(*(uuid7(unix_ms(NOW) + number, self.random.randbytes) for number in range(4)))

    @rule(
        target=commands,
        key=reservations,
        booking=st.builds(
            NewReservation,
            guest_id=st.sampled_from(GUESTS),
            trip_id=st.sampled_from(TRIPS),
            trip_date=st.sampled_from(DAYS),
            party_size=st.integers(1, 4),
            awaiting_payment=st.booleans(),
        ),
    )
    def create(self, key: UUID, booking: NewReservation) -> AnyCommand:
        command = CreateReservation(**self.envelope(reservation_id=key), payload=booking)
        self.apply(command)
        return command

    @rule(
        target=commands,
        key=reservations,
        rev=st.none() | st.integers(1, 4),
        change=st.fixed_dictionaries(
            {}, optional={"trip_date": st.sampled_from(DAYS), "party_size": st.integers(1, 4)}
        ),
    )
    def update(self, key: UUID, rev: int | None, change: dict[str, Any]) -> AnyCommand:
        payload = ReservationChanges(**change)
        command = UpdateReservation(**self.envelope(reservation_id=key, expected_rev=rev), payload=payload)
        self.apply_at(rev, command)
        return command

    @rule(target=commands, key=reservations, target_status=st.sampled_from(Status), rev=st.none() | st.integers(1, 4))
    def transition(self, key: UUID, target_status: Status, rev: int | None) -> AnyCommand:
        payload = Transition(target_status=target_status)
        command = TransitionReservation(**self.envelope(reservation_id=key, expected_rev=rev), payload=payload)
        self.apply_at(rev, command)
        return command

    @rule(target=commands, key=reservations)
    def cancel(self, key: UUID) -> AnyCommand:
        payload = Cancellation(reason=CancellationReason.WEATHER)
        command = CancelReservation(**self.envelope(reservation_id=key), payload=payload)
        self.apply(command)
        return command

    @rule(target=commands, key=reservations, guest=st.sampled_from(GUESTS))
    def join(self, key: UUID, guest: UUID) -> AnyCommand:
        command = AddParticipant(**self.envelope(reservation_id=key), payload=NewParticipant(guest_id=guest))
        self.apply(command)
        return command

    @rule(
        target=commands,
        key=reservations,
        payment=st.builds(
            Payment,
            payment_id=st.sampled_from(["first", "second"]),
            status=st.sampled_from(PaymentStatus),
            amount=st.sampled_from(
                [Decimal(0), Decimal("-5.00"), Decimal("10.00"), Decimal("40.00"), Decimal("160.00")]
            ),
            currency=st.sampled_from([PaymentCurrency.USD, PaymentCurrency.USD, PaymentCurrency.CAD]),
            payment_method=st.just(PaymentMethod.CREDIT_CARD),
        ),
        late_s=st.integers(-50, 50),
    )
    def pay(self, key: UUID, payment: Payment, late_s: int) -> AnyCommand:
        envelope = self.envelope(reservation_id=key)
        envelope["issued_at"] += timedelta(seconds=late_s)
        command = RecordPayment(**envelope, payload=payment)
        self.apply(command)
        return command

    @rule(key=reservations)
    def a_hold_expires(self, key: UUID) -> None:
        state = self.states.get(key)
        if state and state.status is Status.PENDING:
            payload = Transition(target_status=Status.CANCELLED, reason="PAYMENT_TIMEOUT")
            envelope = self.envelope(reservation_id=key, expected_rev=state.rev)
            (outcome,) = self.apply(TransitionReservation(**envelope, payload=payload))
            assert outcome.kind is OutcomeKind.APPLIED

    @rule(batch=st.lists(commands, min_size=1, max_size=4))
    def everything_arrives_again(self, batch: Sequence[AnyCommand]) -> None:
        before = dict(self.states)
        for outcome in self.apply(*batch):
            assert outcome.replayed
        assert self.states == before

    @rule(command=consumes(commands))
    def an_id_is_used_for_something_else(self, command: AnyCommand) -> None:
        before = dict(self.states)
        payload = Cancellation(reason=CancellationReason.DUPLICATE)
        key = command.reservation_id
        other = CancelReservation(**self.envelope(reservation_id=key, command_id=command.command_id), payload=payload)
        assert fingerprint(other) != fingerprint(command)
        (outcome,) = self.apply(other)
        assert outcome.code == "IDEMPOTENCY_KEY_REUSED"
        assert self.states == before

    # ---- what always holds ----

    @invariant()
    def seats_taken_are_those_of_active_reservations_and_never_too_many(self) -> None:
        taken = {slot: seats.taken for slot, seats in self.books.seats().items() if seats.taken}
        assert taken == balance(self.states.values())
        assert all(0 <= seats <= CAPACITY for seats in taken.values())

    @invariant()
    def a_guest_has_one_active_reservation_a_day(self) -> None:
        active = [(r.guest_id, r.trip_date) for r in self.states.values() if r.status not in FINAL]
        assert Counter(self.books.days().keys()) == Counter(active)

    @invariant()
    def what_is_paid_is_payments_less_refunds(self) -> None:
        for state in self.states.values():
            signed = (p.amount if p.status is PaymentStatus.COMPLETED else -p.amount for p in state.payments)
            assert state.paid_amount == sum(signed, Decimal(0))
            assert len({p.event_id for p in state.payments}) == len(state.payments)

    @invariant()
    def revisions_have_no_gaps(self) -> None:
        for key, state in self.states.items():
            assert state.rev == len(self.revs[key])

    @invariant()
    def every_status_was_reached_by_allowed_transitions(self) -> None:
        for key, path in self.statuses.items():
            assert path[0] in {Status.PENDING, Status.CONFIRMED}
            assert all(after in TRANSITIONS[before] for before, after in pairwise(path))
            assert path[-1] is self.states[key].status

    @invariant()
    def payments_wait_only_for_reservations_that_are_not_there(self) -> None:
        assert not self.waiting.keys() & self.states.keys()

    @invariant()
    def every_event_has_an_id_of_its_own(self) -> None:
        assert all(count == 1 for count in self.event_ids.values())


Desk.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestDesk = Desk.TestCase


def test_the_most_that_was_taken_on_the_way_must_fit_not_what_is_left_of_it() -> None:
    trip, day = TRIPS[0], DAYS[0]
    books = Books({(trip, day): Seats(10, 3)})
    holdings = [Holding(uuid4(), (trip, day), (uuid4(), day), seats) for seats in (4, 2, 1)]
    books.move(None, holdings[0])
    books.move(None, holdings[1])
    books.move(holdings[1], None)
    books.move(None, holdings[2])
    books.move(holdings[0], replace(holdings[0], seats=1))
    assert books.seat_changes() == [((trip, day), SeatChange(seats=2, peak=6, capacity=None))]
    given_back = Books({(trip, day): Seats(10, 3)})
    given_back.move(holdings[2], None)
    assert given_back.seat_changes() == [((trip, day), SeatChange(seats=-1, peak=None, capacity=None))]
