"""What becomes of a command: a pure function of the reservation, the command and the context."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from reservations.models import payments
from reservations.models.access import refuse_beyond_rights
from reservations.models.books import holding_of
from reservations.models.commands import (
    AddParticipant,
    AnyCommand,
    CancelReservation,
    CreateReservation,
    NewParticipant,
    RecordPayment,
    ReservationChanges,
    TransitionReservation,
    UpdateReservation,
)
from reservations.models.errors import ErrorCode, Rejected, invalid_field
from reservations.models.identifiers import confirmation_code, kin_of, time_of, unix_ms, unix_ms_of, uuid7
from reservations.models.reservation import Participant, Reservation, Told
from reservations.models.steps import Applied, Context, Decision, advance, change_of_status, move
from reservations.models.terms import agree, capacity_of, refuse_terms
from reservations.models.vocabulary import MODIFIABLE, TRANSITIONS, Status

MODIFIABLE_FIELDS = tuple(ReservationChanges.model_fields)
#: Changing one of these is booking anew: the trip must still take the party then.
TERMS = frozenset({"trip_date", "party_size", "total_amount"})

_month_ms = lru_cache(maxsize=8)(unix_ms)


def decide(state: Reservation | None, command: AnyCommand, context: Context) -> Decision:
    """Return what the command makes of the reservation, or why it is refused."""
    decision = _decide(state, command, context)
    if not isinstance(decision, Applied):
        return decision
    booked = decision.reservation
    capacity = capacity_of(booked.trip_id, context)
    return context.books.refuse(holding_of(state), holding_of(booked), capacity) or decision


def _decide(state: Reservation | None, command: AnyCommand, context: Context) -> Decision:
    refusal = refuse_beyond_rights(command)
    if refusal:
        return refusal
    if isinstance(command, CreateReservation):
        return _create(state, command, context)
    if isinstance(command, RecordPayment):
        return payments.record(state, command, context)
    if state is None or not _is_there_for(command, state):
        return Rejected(
            ErrorCode.RESERVATION_NOT_FOUND,
            f"There is no reservation {command.reservation_id}.",
            {"reservation_id": str(command.reservation_id)},
        )
    if command.expected_rev is not None and command.expected_rev != state.rev:
        return _revision_conflict(command.expected_rev, state)
    return _DECISIONS[command.type](state, command, context)


def _is_there_for(command: AnyCommand, state: Reservation) -> bool:
    return command.acting_for is None or command.acting_for.owns(state.guest_id, state.partner_id)


def _create(state: Reservation | None, command: CreateReservation, context: Context) -> Decision:
    reservation_id = command.reservation_id or uuid7(unix_ms(context.now), context.entropy)
    refusal = _refuse_creation(state, reservation_id, context)
    if refusal:
        return refusal
    booking = command.payload
    party = _join(reservation_id, (), booking.participants, context)
    party_size = booking.party_size or max(1, len(party))
    amount = agree(
        context,
        trip_id=booking.trip_id,
        trip_date=booking.trip_date,
        party_size=party_size,
        booker=booking.guest_id,
        party=[guest.guest_id for guest in booking.participants],
        offered=booking.total_amount,
        currency=booking.currency,
    )
    if isinstance(amount, Rejected):
        return amount
    booked = {
        "reservation_id": reservation_id,
        "party_size": party_size,
        "participants": party,
        "total_amount": amount,
    }
    return _book(command, booked, context)


def _book(command: CreateReservation, booked: Mapping[str, Any], context: Context) -> Applied:
    booking, made_at = command.payload, time_of(booked["reservation_id"])
    reservation = Reservation(
        **booked,
        guest_id=booking.guest_id,
        trip_id=booking.trip_id,
        confirmation_code=confirmation_code(made_at, context.entropy),
        status=Status.PENDING if booking.awaiting_payment else Status.CONFIRMED,
        trip_date=booking.trip_date,
        currency=booking.currency,
        created_at=made_at,
        updated_at=made_at,
        rev=1,
        booking_source=booking.booking_source,
        gear_package_id=booking.gear_package_id,
        special_requirements=booking.special_requirements,
        emergency_contact=booking.emergency_contact,
        partner_id=command.acting_for.partner_id if command.acting_for else None,
        promo_code=booking.promo_code,
        told=Told(lane=context.lane, since_rev=1),
    )
    return Applied(reservation, change_of_status(None, reservation, command, None, context))


def _refuse_creation(state: Reservation | None, reservation_id: UUID, context: Context) -> Rejected | None:
    if state is not None:
        return Rejected(
            ErrorCode.RESERVATION_EXISTS,
            f"Another command made reservation {state.reservation_id}; leave reservation_id out to be given one.",
            {"reservation_id": str(state.reservation_id)},
        )
    # Compared as numbers: the 48 bits of an id reach beyond the year 9999, a datetime does not.
    if not _month_ms(context.first_month) <= unix_ms_of(reservation_id) < _month_ms(context.end_of_months):
        kept = f"{context.first_month:%Y-%m} up to before {context.end_of_months:%Y-%m}"
        return invalid_field("reservation_id", f"carries a time outside the months kept, {kept}")
    return None


def _update(state: Reservation, command: UpdateReservation, context: Context) -> Decision:
    refusal = refuse_unmodifiable(command.payload.model_extra or {})
    if refusal:
        return refusal
    changes = command.payload.changes()
    if not changes:
        return Rejected(ErrorCode.VALIDATION_FAILED, f"Nothing to change: name one of {', '.join(MODIFIABLE_FIELDS)}.")
    if state.status not in MODIFIABLE:
        return _refused_by_status(ErrorCode.NOT_MODIFIABLE, "can't be modified", state)
    if changes.get("party_size", state.party_size) < len(state.participants):
        return invalid_field("party_size", f"can't be less than the {len(state.participants)} participants named")
    if TERMS & changes.keys():
        amount = _agree_anew(state, changes, context)
        if isinstance(amount, Rejected):
            return amount
        changes["total_amount"] = amount
    return Applied(advance(state, context, **changes))


def _agree_anew(state: Reservation, changes: Mapping[str, Any], context: Context) -> Decimal | Rejected:
    """Return the total under the changed terms; another date alone leaves the price that was agreed."""
    party_size = changes.get("party_size", state.party_size)
    return agree(
        context,
        trip_id=state.trip_id,
        trip_date=changes.get("trip_date", state.trip_date),
        party_size=party_size,
        booker=state.guest_id,
        party=[guest.guest_id for guest in state.participants],
        offered=changes.get("total_amount"),
        currency=state.currency,
        agreed=state.total_amount,
        priced="total_amount" in changes or party_size != state.party_size,
    )


def refuse_unmodifiable(unknown: Mapping[str, Any]) -> Rejected | None:
    """Return the refusal of an update that names fields which can't be modified."""
    if not unknown:
        return None
    fields = [{"field": name, "message": "is not modifiable"} for name in sorted(unknown)]
    names = ", ".join(sorted(unknown))
    return Rejected(ErrorCode.FIELD_NOT_MODIFIABLE, f"Not modifiable: {names}.", {"fields": fields})


def _cancel(state: Reservation, command: CancelReservation, context: Context) -> Decision:
    if Status.CANCELLED not in TRANSITIONS[state.status]:
        return _refused_by_status(ErrorCode.NOT_CANCELLABLE, "can't be cancelled", state)
    return move(state, Status.CANCELLED, command, command.payload.reason, context)


def _transition(state: Reservation, command: TransitionReservation, context: Context) -> Decision:
    target, allowed = command.payload.target_status, TRANSITIONS[state.status]
    if target not in allowed:
        return _refused_by_status(ErrorCode.TRANSITION_NOT_ALLOWED, f"can't become {target}", state)
    return move(state, target, command, command.payload.reason, context)


def _add_participant(state: Reservation, command: AddParticipant, context: Context) -> Decision:
    if state.status not in MODIFIABLE:
        return _refused_by_status(ErrorCode.NOT_MODIFIABLE, "can't be modified", state)
    if len(state.participants) >= state.party_size:
        return Rejected(
            ErrorCode.PARTY_FULL,
            f"All {state.party_size} seats of the party are taken; raise party_size first.",
            {"party_size": state.party_size},
        )
    newcomer = command.payload
    refusal = refuse_terms(
        context,
        trip_id=state.trip_id,
        trip_date=state.trip_date,
        party_size=state.party_size,
        booker=newcomer.guest_id,
        party=[newcomer.guest_id],
    )
    if refusal:
        return refusal
    party = _join(state.reservation_id, state.participants, (newcomer,), context)
    return Applied(advance(state, context, participants=party))


_DECISIONS = cast(
    "Mapping[str, Callable[[Reservation, AnyCommand, Context], Decision]]",
    {
        "reservation.update": _update,
        "reservation.cancel": _cancel,
        "reservation.transition": _transition,
        "participant.add": _add_participant,
    },
)


def _join(
    reservation_id: UUID, party: tuple[Participant, ...], guests: tuple[NewParticipant, ...], context: Context
) -> tuple[Participant, ...]:
    joined = (
        Participant(
            participant_id=kin_of(reservation_id, ordinal, context.entropy),
            guest_id=guest.guest_id,
            role=guest.role,
            medical_clearance=guest.medical_clearance,
        )
        for ordinal, guest in enumerate(guests, start=len(party))
    )
    return (*party, *joined)


def _revision_conflict(expected: int, state: Reservation) -> Rejected:
    return Rejected(
        ErrorCode.REVISION_CONFLICT,
        f"The reservation is at revision {state.rev}, not {expected}; read it again and decide anew.",
        {"expected_rev": expected, "current_rev": state.rev},
    )


def _refused_by_status(code: ErrorCode, refusal: str, state: Reservation) -> Rejected:
    allowed = sorted(TRANSITIONS[state.status])
    return Rejected(
        code,
        f"A reservation that is {state.status} {refusal}; it may become {', '.join(allowed) or 'nothing else'}.",
        {"current_status": state.status, "allowed_statuses": allowed},
    )
