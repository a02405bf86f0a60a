"""Payments: what svc-payments tells, and what that makes of a reservation."""

from datetime import datetime
from typing import Literal, TypeGuard
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from reservations.models.commands import AnyCommand, Payment, PaymentId, RecordPayment, ToldAmount
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.fields import Instant, ReservationId
from reservations.models.reservation import PaymentEntry, Reservation
from reservations.models.steps import Applied, Context, Decision, Parked, advance, move
from reservations.models.vocabulary import (
    FINAL,
    MODIFIABLE,
    PaymentCurrency,
    PaymentMethod,
    PaymentStatus,
    Status,
)

PAYMENTS_SERVICE = "svc-payments"
PAYMENT_COMPLETED, PAYMENT_REFUNDED = "PAYMENT_COMPLETED", "PAYMENT_REFUNDED"


class PaymentProcessed(BaseModel):
    """The event of svc-payments; further fields are let through."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    event_id: UUID
    event_type: Literal["payment.processed"]
    timestamp: Instant
    payment_id: PaymentId
    reservation_id: ReservationId
    amount: ToldAmount
    currency: PaymentCurrency
    status: PaymentStatus
    payment_method: PaymentMethod

    def command(self, redriven_at: datetime | None = None) -> RecordPayment:
        """Return the command that the event amounts to."""
        return RecordPayment(
            command_id=self.event_id,
            reservation_id=self.reservation_id,
            issued_at=self.timestamp,
            issued_by=PAYMENTS_SERVICE,
            redriven_at=redriven_at,
            payload=Payment(
                payment_id=self.payment_id,
                status=self.status,
                amount=self.amount,
                currency=self.currency,
                payment_method=self.payment_method,
            ),
        )


def event_of(command: RecordPayment) -> PaymentProcessed:
    """Return the event that a command came from, without its further fields."""
    return PaymentProcessed(
        event_id=command.command_id,
        event_type="payment.processed",
        timestamp=command.issued_at,
        reservation_id=command.reservation_id,
        **dict(command.payload),
    )


def record(state: Reservation | None, command: RecordPayment, context: Context) -> Decision:
    """Keep a payment with its reservation: it may confirm or cancel it."""
    if command.payload.amount <= 0:
        return Rejected(ErrorCode.PAYMENT_AMOUNT_INVALID, "A payment's amount must be greater than zero.")
    if state is None:
        return Parked()
    refusal = _refuse(state, command.payload)
    return refusal or _book(state, command, context)


def _refuse(state: Reservation, payment: Payment) -> Rejected | None:
    if payment.currency != state.currency:
        return Rejected(
            ErrorCode.PAYMENT_CURRENCY_MISMATCH,
            f"The reservation is in {state.currency}, the payment in {payment.currency}.",
        )
    if state.status in FINAL:
        return Rejected(
            ErrorCode.PAYMENT_AFTER_THE_END,
            f"The reservation is {state.status}; the payment was kept, but changes nothing.",
            {"current_status": state.status},
        )
    return None


def _book(state: Reservation, command: RecordPayment, context: Context) -> Applied:
    payment = command.payload
    paid = state.paid_amount + (payment.amount if payment.status is PaymentStatus.COMPLETED else -payment.amount)
    entry = PaymentEntry(
        event_id=command.command_id,
        payment_id=payment.payment_id,
        status=payment.status,
        amount=payment.amount,
        moved_at=command.issued_at,
    )
    changes = {"paid_amount": paid, "payments": (*state.payments, entry)}
    if payment.status is PaymentStatus.COMPLETED:
        changes["payment_reference"] = payment.payment_id
        if state.status is Status.PENDING and paid >= state.total_amount * context.rules.deposit_ratio:
            return move(state, Status.CONFIRMED, command, PAYMENT_COMPLETED, context, **changes)
    if payment.status is PaymentStatus.REFUNDED and paid <= 0 and state.status in MODIFIABLE:
        return move(state, Status.CANCELLED, command, PAYMENT_REFUNDED, context, **changes)
    return Applied(advance(state, context, **changes))


def needs_a_person(command: AnyCommand, code: ErrorCode | None) -> TypeGuard[RecordPayment]:
    """Tell whether a payment was refused that is to be looked at.

    Not so money given back after the end, nor a payment that waited in vain: that one has its dead letter.
    """
    if code in (None, ErrorCode.PAYMENT_UNCLAIMED) or not isinstance(command, RecordPayment):
        return False
    return code is not ErrorCode.PAYMENT_AFTER_THE_END or command.payload.status is PaymentStatus.COMPLETED
