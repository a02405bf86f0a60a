"""The reservation as it is kept and shown."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, computed_field
from pydantic.json_schema import SkipJsonSchema

from reservations.models.acting import PartnerId
from reservations.models.commands import EmergencyContact, GearPackageId, SpecialRequirements
from reservations.models.fields import JSON_NUMBER, Amount, Currency, PartySize
from reservations.models.vocabulary import BookingSource, PaymentStatus, Role, Status

#: Kept, but not part of what callers see of a reservation.
HIDDEN = {"partner_id", "promo_code", "paid_amount", "payments", "told"}


class View(BaseModel):
    """Base of what is kept and shown."""

    model_config = ConfigDict(
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class ParticipantDetails(View):
    """What of a participant has no column of its own."""

    medical_clearance: bool = False
    gear_assignment_id: str | None = None
    checked_in: bool = False
    check_in_time: AwareDatetime | None = None


class Participant(ParticipantDetails):
    """A member of the party."""

    participant_id: UUID
    guest_id: UUID
    role: Role
    waiver_signed: bool = False


class PaymentEntry(View):
    """A payment or a refund that counted."""

    event_id: UUID
    payment_id: str
    status: PaymentStatus
    amount: Annotated[Decimal, JSON_NUMBER]
    moved_at: AwareDatetime


class Told(View):
    """By which lane the last events of a reservation go out, and from which revision on it has been that lane."""

    lane: str
    since_rev: int


class ReservationDetails(View):
    """What of a reservation has no column of its own."""

    booking_source: BookingSource = BookingSource.WEB_DIRECT
    gear_package_id: GearPackageId | None = None
    special_requirements: SpecialRequirements | None = None
    emergency_contact: EmergencyContact | None = None
    payment_reference: str | None = None
    partner_id: SkipJsonSchema[PartnerId | None] = None
    """Which partner made it, if one did."""
    promo_code: SkipJsonSchema[str | None] = None
    paid_amount: SkipJsonSchema[Annotated[Decimal, JSON_NUMBER]] = Decimal(0)
    """Paid, less what was refunded."""
    payments: SkipJsonSchema[tuple[PaymentEntry, ...]] = ()
    told: SkipJsonSchema[Told | None] = None


class Reservation(ReservationDetails):
    """A booking with its party."""

    reservation_id: UUID
    guest_id: UUID
    trip_id: UUID
    confirmation_code: Annotated[str, Field(min_length=12, max_length=12, examples=["A2PRKV9SCEW7"])]
    status: Status
    trip_date: date
    party_size: PartySize
    total_amount: Amount
    currency: Currency
    participants: tuple[Participant, ...] = ()
    created_at: AwareDatetime
    updated_at: AwareDatetime
    rev: Annotated[int, Field(alias="_rev", ge=1)]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> UUID:
        """The same as reservation_id."""
        return self.reservation_id

    def with_party(self, party: Sequence[Participant]) -> "Reservation":
        """Return it with these participants."""
        return self.model_copy(update={"participants": tuple(party)}) if party else self

    def shown(self) -> str:
        """Return the JSON that callers see."""
        return self.model_dump_json(exclude=HIDDEN)


class StatusChange(View):
    """A row of the status history."""

    history_id: UUID
    old_status: Status | None
    new_status: Status
    changed_by: str
    reason: str | None
    changed_at: AwareDatetime
    rev: Annotated[int, Field(alias="_rev", ge=1)]
    """The revision that the change made."""
    command_id: UUID | None = None
    """The command that asked for it."""
