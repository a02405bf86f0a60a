"""Who may do what: the rule, in one place.

A caller's role says which actions are open to them, and for whom they act says which reservations are there for them:
those of others look as if they did not exist. Reads apply that in their SQL, decisions by `ActingFor.owns`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from reservations.models.acting import ActingFor, PartnerId
from reservations.models.commands import AnyCommand, CreateReservation, TransitionReservation, UpdateReservation
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.vocabulary import Status

#: It becomes part of `changed_by`, which has 100 characters.
Subject = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,80}$")]


class Action(StrEnum):
    """What an operation does, as far as permission for it goes."""

    READ = "read"
    CREATE = "create"
    CHANGE = "change"
    OPERATE = "operate"
    FOLLOW = "follow"
    """Ask what became of one's own command."""


class Role(StrEnum):
    """What a caller is to the house."""

    GUEST = "guest"
    STAFF = "staff"
    SERVICE = "service"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a name that stands in `changed_by`, what they may do, and for whom they act; None for everybody."""

    name: str
    actions: frozenset[Action]
    acting_for: ActingFor | None = None

    def may(self, action: Action) -> bool:
        """Tell whether an action is open to them."""
        return action in self.actions

    @property
    def sees_commands_of(self) -> str | None:
        """Whose commands they may ask about: their own, or everybody's (None)."""
        sees_all = self.acting_for is None and Action.READ in self.actions
        return None if sees_all else self.name


EVERYTHING = frozenset(Action)
BOOKING = EVERYTHING - {Action.OPERATE}
BY_SCOPE: Mapping[str, frozenset[Action]] = {
    "reservations:read": frozenset({Action.READ}),
    "reservations:write": frozenset({Action.CREATE, Action.CHANGE}),
}
FOLLOWING = frozenset({Action.FOLLOW})
#: Who calls where nobody has to say who they are.
ANYBODY = Caller("anonymous", EVERYTHING)


class _Claims(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    sub: Subject


class GuestClaims(_Claims):
    """A guest: books for themselves, and has to do with their own bookings only."""

    role: Literal[Role.GUEST]
    guest_id: UUID

    def caller(self) -> Caller:
        """Return who that is; named by the guest, for a subject might be personal."""
        return Caller(f"{Role.GUEST}:{self.guest_id}", BOOKING, ActingFor(guest_id=self.guest_id))


class StaffClaims(_Claims):
    """A member of the staff: does everything."""

    role: Literal[Role.STAFF]

    def caller(self) -> Caller:
        """Return who that is."""
        return Caller(f"{Role.STAFF}:{self.sub}", EVERYTHING)


class ServiceClaims(_Claims):
    """Another service: does what its scopes say, `reservations:read` and `reservations:write`."""

    role: Literal[Role.SERVICE]
    scope: str = ""

    def caller(self) -> Caller:
        """Return who that is."""
        granted = (BY_SCOPE.get(scope, frozenset()) for scope in self.scope.split())
        return Caller(f"{Role.SERVICE}:{self.sub}", FOLLOWING.union(*granted))


class PartnerClaims(_Claims):
    """A partner: books for guests, and sees what it booked."""

    role: Literal[Role.PARTNER]
    partner_id: PartnerId

    def caller(self) -> Caller:
        """Return who that is."""
        actions = frozenset({Action.READ, Action.CREATE, Action.FOLLOW})
        return Caller(f"{Role.PARTNER}:{self.partner_id}", actions, ActingFor(partner_id=self.partner_id))


#: What a token says of who carries it.
Claims = Annotated[GuestClaims | StaffClaims | ServiceClaims | PartnerClaims, Field(discriminator="role")]


#: Where a guest may move their own reservation: they arrive, or don't come.
MOVED_BY_GUESTS = frozenset({Status.CHECKED_IN, Status.CANCELLED})


def refuse_beyond_rights(command: AnyCommand) -> Rejected | None:
    """Return the refusal of a command that asks for more than the one it is for may have."""
    if command.acting_for is None:
        return None
    if command.acting_for.partner_id is not None:
        return None if isinstance(command, CreateReservation) else _forbidden("A partner books; others change.")
    return _refuse_guest(command, command.acting_for)


def _refuse_guest(command: AnyCommand, guest: ActingFor) -> Rejected | None:
    if isinstance(command, CreateReservation) and command.payload.guest_id != guest.guest_id:
        return _forbidden("A guest books for themselves; the others of the party are participants.", "guest_id")
    if isinstance(command, UpdateReservation) and "total_amount" in command.payload.model_fields_set:
        return _forbidden("A guest does not set the price; leave it out.", "total_amount")
    if isinstance(command, TransitionReservation) and command.payload.target_status not in MOVED_BY_GUESTS:
        allowed = ", ".join(sorted(MOVED_BY_GUESTS))
        return _forbidden(f"A guest may move a reservation to {allowed} only.", "target_status")
    return None


def _forbidden(message: str, *fields: str) -> Rejected:
    named: Sequence[dict[str, str]] = [{"field": field, "message": message} for field in fields]
    return Rejected(ErrorCode.FORBIDDEN, message, {"fields": named} if fields else {})
