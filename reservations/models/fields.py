"""The types that fields are made of: each with its limit, said once."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from reservations.models.identifiers import is_uuid7

MAX_PARTY_SIZE = 500
MAX_REV = 2**31 - 1
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _require_uuid7(value: UUID) -> UUID:
    if not is_uuid7(value):
        raise ValueError("must be a UUID version 7")
    return value


def require_number(value: Any) -> Any:
    """Refuse a string or a boolean where JSON has a number."""
    if isinstance(value, str | bool):
        raise ValueError("must be a JSON number, as in 398.00")  # noqa: TRY004  # pydantic reads ValueError
    return value


def _to_day(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _DAY.fullmatch(value):
        raise ValueError("must be a day, as in 2027-06-12")
    return date.fromisoformat(value)


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs a time zone, as in 2027-05-01T12:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


def _whole_to_integer(value: Any) -> Any:
    """Take 3.0 for 3: JSON does not tell them apart, nor does a JSON schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _digits_to_integer(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_REV)):
        return int(value)
    return _whole_to_integer(value)


#: Money has at most twelve digits, a double fifteen: the shortest form of the number is exact to the cent.
JSON_NUMBER = PlainSerializer(float, return_type=float, when_used="json")

ReservationId = Annotated[UUID, AfterValidator(_require_uuid7), Field(description="A UUID version 7.")]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
NonEmptyText = Annotated[Text, Field(min_length=1)]
Reason = Annotated[Text, Field(max_length=500)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217 code.", examples=["USD"])]
PartySize = Annotated[int, Field(ge=1, le=MAX_PARTY_SIZE), BeforeValidator(_whole_to_integer)]
# Limits stand before a BeforeValidator: behind it they are checked in Python, which takes several times as long.
Amount = Annotated[
    Decimal,
    Field(ge=0, max_digits=10, decimal_places=2, strict=False),
    BeforeValidator(require_number),
    JSON_NUMBER,
    # No multipleOf: validators divide in binary and would refuse 0.07.
    WithJsonSchema(
        {
            "type": "number",
            "minimum": 0,
            "maximum": 99_999_999.99,
            "description": "Money, at most two decimals.",
            "examples": [398.0],
        }
    ),
]
Rev = Annotated[
    int,
    Field(ge=1, le=MAX_REV),
    BeforeValidator(_digits_to_integer),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_REV},
                {"type": "string", "pattern": "^0*[1-9][0-9]*$", "maxLength": 10},
            ],
            "description": "The revision that the change is based on.",
            "examples": [1],
        }
    ),
]
BodyRev = Annotated[Rev | None, Field(alias="_rev")]
Instant = Annotated[datetime, Field(strict=False), AfterValidator(_in_utc)]
Day = Annotated[date, BeforeValidator(_to_day)]
TripDate = Annotated[
    date,
    Field(
        ge=date(2000, 1, 1),
        le=date(2199, 12, 31),
        description="The day the trip starts, from 2000-01-01 to 2199-12-31.",
        examples=["2027-06-12"],
        json_schema_extra={"pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}$"},  # what of the range a schema can say
    ),
    BeforeValidator(_to_day),
]


class Message(BaseModel):
    """Base of what comes from outside: nothing is coerced, nothing unknown is let through."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)
