"""What the neighbours answer, read into what the rules know. Fields that are not known here are let through."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from reservations.models.eligibility import Guest, GuestStatus, Trip, TripStatus
from reservations.models.fields import MAX_PARTY_SIZE

END_OF_AMOUNTS = 10**8
DATE_LENGTH = len("2027-05-01")


class AnswerError(ValueError):
    """The neighbour's answer can't be used."""


def _day(value: Any) -> Any:
    """Return the date of a date-time as it is written, in its own time zone."""
    if not isinstance(value, str):
        raise ValueError("must be a date, as in 2027-05-01")  # noqa: TRY004  # pydantic reads ValueError
    return value[:DATE_LENGTH] if value[DATE_LENGTH : DATE_LENGTH + 1] in ("T", "t", " ") else value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """Return the certifications of an answer, which may be the array itself or hold it."""
    if not isinstance(value, dict):
        return value
    return value.get("certifications", value.get("content"))


Day = Annotated[date, BeforeValidator(_day), Field(strict=False)]
Count = Annotated[int, Field(ge=0, le=100_000)]


class Answer(BaseModel):
    """Base of what neighbours say: nothing is coerced, more than is needed is let through."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class GuestAnswer(Answer):
    """A guest, as the guest profiles tell."""

    guest_id: UUID | None = None
    status: GuestStatus
    date_of_birth: Day | None = None


class TripAnswer(Answer):
    """A trip, as the catalog tells."""

    id: UUID | None = None
    status: TripStatus
    min_participants: Count = 1
    max_participants: Count
    base_price: Annotated[Decimal, Field(ge=0, lt=END_OF_AMOUNTS)]
    age_minimum: Count | None = None
    required_certifications: frozenset[str] | None = None
    duration_hours: Annotated[Decimal, Field(ge=0)] | None = None


class CertificationAnswer(Answer):
    """A certification, as the guest profiles tell."""

    name: str = Field(validation_alias=AliasChoices("certification", "type", "certification_type", "name"))
    last_day: Day | None = Field(
        default=None, validation_alias=AliasChoices("expires_at", "expiry_date", "valid_until")
    )


CertificationAnswers = Annotated[
    list[Annotated[CertificationAnswer, BeforeValidator(_named)]], BeforeValidator(_listed)
]


class Answers:
    """Reads answers; each method raises ValueError for what can't be used."""

    def __init__(self) -> None:
        self._certifications: TypeAdapter[list[CertificationAnswer]] = TypeAdapter(CertificationAnswers)

    def guest(self, guest_id: UUID, body: bytes) -> Guest:
        """Read a guest, whose certifications are told apart."""
        answer = GuestAnswer.model_validate_json(body)
        _require_same(guest_id, answer.guest_id)
        return Guest(guest_id, answer.status, answer.date_of_birth, None)

    def trip(self, trip_id: UUID, body: bytes) -> Trip:
        """Read a trip."""
        answer = TripAnswer.model_validate_json(body)
        _require_same(trip_id, answer.id)
        if answer.base_price * min(answer.max_participants, MAX_PARTY_SIZE) >= END_OF_AMOUNTS:
            raise AnswerError("The trip costs more than can be charged.")
        return Trip(
            trip_id,
            answer.status,
            answer.min_participants,
            answer.max_participants,
            answer.base_price,
            answer.age_minimum,
            answer.required_certifications or frozenset(),
            answer.duration_hours,
        )

    def certifications(self, _: UUID, body: bytes) -> Mapping[str, date | None]:
        """Read a guest's certifications: the last day of each, the latest one when it was renewed, None for ever."""
        last_days: dict[str, date | None] = {}
        for held in self._certifications.validate_json(body):
            known = last_days.get(held.name, held.last_day)
            last_days[held.name] = _later(known, held.last_day)
        return last_days


def _later(one: date | None, other: date | None) -> date | None:
    """Return the later of two last days; None is for ever."""
    return None if one is None or other is None else max(one, other)


def _require_same(asked: UUID, answered: UUID | None) -> None:
    if answered not in (None, asked):
        raise AnswerError("The answer is about another id than the one asked for.")
