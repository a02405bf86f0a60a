"""For whom somebody acts: whose reservations are there for a command or a read."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from reservations.models.fields import Message

_OWNERS = ("guest_id", "partner_id")
PartnerId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def _only(name: str) -> dict[str, Any]:
    kinds = {each: {"type": "string" if each == name else "null"} for each in _OWNERS}
    return {"required": [name], "properties": kinds}


class ActingFor(Message):
    """For whom a command or a read is: one guest, or one partner. Reservations of others are not there for them."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only("guest_id"), _only("partner_id")]})

    guest_id: UUID | None = None
    """Only reservations that this guest booked."""
    partner_id: PartnerId | None = None
    """Only reservations that this partner made."""

    @model_validator(mode="after")
    def _is_for_one(self) -> Self:
        if (self.guest_id is None) == (self.partner_id is None):
            raise ValueError("needs either guest_id or partner_id")
        return self

    def owns(self, guest_id: UUID, partner_id: str | None) -> bool:
        """Tell whether a reservation of that guest, made by that partner, is there for them."""
        return guest_id == self.guest_id if self.guest_id else partner_id == self.partner_id
