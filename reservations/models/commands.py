"""What can be asked of a reservation: one envelope, five types of command."""

from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from reservations.models.acting import ActingFor
from reservations.models.fields import (
    JSON_NUMBER,
    MAX_PARTY_SIZE,
    Amount,
    Currency,
    Instant,
    Message,
    NonEmptyText,
    PartySize,
    Reason,
    ReservationId,
    Rev,
    Text,
    TripDate,
    require_number,
)
from reservations.models.vocabulary import (
    BookingSource,
    CancellationReason,
    PaymentCurrency,
    PaymentMethod,
    PaymentStatus,
    Role,
    Status,
)

GearPackageId = Annotated[NonEmptyText, Field(max_length=64, examples=["alpine-2"])]
SpecialRequirements = Annotated[Text, Field(max_length=500, examples=["Vegan meals"])]


class EmergencyContact(Message):
    """Whom to call."""

    name: Annotated[NonEmptyText, Field(max_length=200, examples=["Sam Rivera"])]
    phone: Annotated[NonEmptyText, Field(max_length=40, examples=["+1 555 0100"])]
    relationship: Annotated[Text, Field(max_length=100, examples=["sister"])] | None = None


class NewParticipant(Message):
    """A member of the party."""

    guest_id: UUID
    role: Role = Role.GUEST
    medical_clearance: bool = False


class NewReservation(Message):
    """A booking to be made."""

    guest_id: UUID
    trip_id: UUID
    trip_date: TripDate
    booking_source: BookingSource = BookingSource.WEB_DIRECT
    participants: Annotated[tuple[NewParticipant, ...], Field(max_length=MAX_PARTY_SIZE, strict=False)] = ()
    party_size: PartySize | None = None
    """Seats booked; the number of participants, at least 1, when absent."""
    total_amount: Amount | None = None
    """Required unless the trip catalog prices the trip."""
    currency: Currency = "USD"
    gear_package_id: GearPackageId | None = None
    special_requirements: SpecialRequirements | None = None
    emergency_contact: EmergencyContact | None = None
    promo_code: Annotated[Text, Field(max_length=50, examples=["SPRING"])] | None = None
    awaiting_payment: bool = False
    """Start PENDING, until the payment arrives, instead of CONFIRMED."""

    @field_validator("party_size")
    @classmethod
    def _holds_the_participants(cls, party_size: int | None, earlier: ValidationInfo) -> int | None:
        named = len(earlier.data.get("participants", ()))
        if party_size is not None and party_size < named:
            raise ValueError(f"can't be less than the {named} participants named")
        return party_size


class ReservationChanges(BaseModel):
    """What may be modified. A field that is absent stays as it is; null clears an optional one."""

    # What is not modifiable is kept, so that the decision can name it.
    model_config = ConfigDict(
        strict=True, extra="allow", frozen=True, json_schema_extra={"additionalProperties": False}
    )

    # Absent is None here, but never given: a union with it would make each refusal two.
    trip_date: TripDate = None  # type: ignore[assignment]
    party_size: PartySize = None  # type: ignore[assignment]
    total_amount: Amount = None  # type: ignore[assignment]
    gear_package_id: GearPackageId | None = None
    special_requirements: SpecialRequirements | None = None
    emergency_contact: EmergencyContact | None = None

    @field_validator("trip_date", "party_size", "total_amount", mode="before")
    @classmethod
    def _cannot_be_cleared(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("can't be null; leave it out to keep it as it is")
        return value

    def changes(self) -> dict[str, Any]:
        """Return the fields that were given, with their values."""
        return {name: getattr(self, name) for name in ReservationChanges.model_fields if name in self.model_fields_set}


class Cancellation(Message):
    """Why a reservation is cancelled."""

    reason: CancellationReason


class Transition(Message):
    """The status to move to."""

    target_status: Status
    reason: Reason | None = None


class Envelope(Message):
    """What every command carries."""

    command_id: UUID
    """The idempotency key: the same id takes effect once."""
    issued_at: Instant
    issued_by: Annotated[NonEmptyText, Field(max_length=100)]
    """Who asks; becomes `changed_by`."""
    acting_for: ActingFor | None = None
    """For whom, when it is not for everybody: reservations of others are not there for the command then."""
    expected_rev: Rev | None = None
    """The revision the change is based on; a stale one is refused."""


class CreateReservation(Envelope):
    """Make a booking."""

    type: Literal["reservation.create"] = "reservation.create"
    reservation_id: ReservationId | None = None
    """Given by the worker when absent."""
    payload: NewReservation


class UpdateReservation(Envelope):
    """Change the modifiable fields of a booking."""

    type: Literal["reservation.update"] = "reservation.update"
    reservation_id: ReservationId
    payload: ReservationChanges


class CancelReservation(Envelope):
    """Cancel a booking; its row stays."""

    type: Literal["reservation.cancel"] = "reservation.cancel"
    reservation_id: ReservationId
    payload: Cancellation


class TransitionReservation(Envelope):
    """Move a booking to another status."""

    type: Literal["reservation.transition"] = "reservation.transition"
    reservation_id: ReservationId
    payload: Transition


class AddParticipant(Envelope):
    """Add a member to the party."""

    type: Literal["participant.add"] = "participant.add"
    reservation_id: ReservationId
    payload: NewParticipant


#: An amount as it was told: a wrong one is refused by decision, not as unreadable.
ToldAmount = Annotated[
    Decimal,
    Field(max_digits=12, decimal_places=2, strict=False),
    BeforeValidator(require_number),
    JSON_NUMBER,
    WithJsonSchema({"type": "number", "description": "Money, at most two decimals.", "examples": [398.0]}),
]
PaymentId = Annotated[NonEmptyText, Field(max_length=100)]


class Payment(Message):
    """A movement of money for a reservation."""

    payment_id: PaymentId
    status: PaymentStatus
    amount: ToldAmount
    currency: PaymentCurrency
    payment_method: PaymentMethod


class RecordPayment(Envelope):
    """Keep a payment with its reservation. It has no place on the command topics: svc-payments' events bring it."""

    type: Literal["payment.record"] = "payment.record"
    reservation_id: ReservationId
    redriven_at: Annotated[datetime | None, Field(exclude=True)] = None
    """When a person put it back on its topic; said beside the message, not in it."""
    payload: Payment


Command = CreateReservation | UpdateReservation | CancelReservation | TransitionReservation | AddParticipant
AnyCommand = Command | RecordPayment

COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


def wire(command: AnyCommand) -> bytes:
    """Return a command as it travels: what was left out stays out, so that its fingerprint stays the same."""
    envelope = command.model_dump(mode="json", exclude={"payload"}, exclude_none=True)
    return orjson.dumps({**envelope, "payload": orjson.Fragment(_asked(command))})


def _asked(command: AnyCommand) -> str:
    return command.payload.model_dump_json(exclude_unset=True)


def fingerprint(command: AnyCommand) -> UUID:
    """Return a 128-bit hash of what a command asks for: equal for a repetition, different for another request."""
    asked = f"{command.type}|{command.reservation_id}|{command.expected_rev}|{_asked(command)}"
    if command.acting_for:
        asked += f"|{command.acting_for.model_dump_json()}"
    return UUID(bytes=blake2b(asked.encode(), digest_size=16).digest())
