"""A batch at work: commands decided one after the other over the states and books they share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any
from uuid import UUID

import orjson

from reservations.models.books import holding_of
from reservations.models.commands import AnyCommand, RecordPayment, fingerprint, wire
from reservations.models.decisions import decide
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.events import Announcement, announcement_again, announcement_of, events_of
from reservations.models.reservation import Reservation, StatusChange
from reservations.models.results import OutcomeKind, refusal_of, result_of
from reservations.models.steps import Applied, Context, Parked
from reservations.models.terms import capacity_of
from reservations.models.vocabulary import PaymentStatus

#: Refusals that pass: they are answered, but not kept, so that the same command can be tried again.
PASSING = frozenset({ErrorCode.UPSTREAM_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class Seen:
    """What an earlier handling of a message left; one that waits has no outcome yet."""

    fingerprint: UUID
    outcome: str | None
    publications: str
    released: str = "[]"

    def is_revived_by(self, command: AnyCommand) -> bool:
        """Tell whether the message was set aside, and a person has redriven it since: only then it is tried anew."""
        if self.outcome is None or not isinstance(command, RecordPayment) or command.redriven_at is None:
            return False
        told = orjson.loads(self.outcome)
        set_aside = told["outcome"] == OutcomeKind.DEAD_LETTERED
        return set_aside and command.redriven_at > datetime.fromisoformat(told["completed_at"])


@dataclass(frozen=True, slots=True)
class Entry:
    """A handled message for the inbox: a hash of what it asked for, and its outcome and events, or itself if it waits.

    `released` holds the payments that had waited for it, each with its result.
    """

    message_id: UUID
    kind: str
    reservation_id: UUID | None
    fingerprint: UUID
    outcome: str | None
    publications: str = "[]"
    parked: str | None = None
    released: str = "[]"
    issued_by: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What handling a command came to: its result (JSON; none while it waits) and the events that tell of it."""

    command: AnyCommand
    kind: OutcomeKind
    code: ErrorCode | None
    reservation_id: UUID | None
    result: str | None
    announcements: tuple[Announcement, ...] = ()
    replayed: bool = False
    released: tuple["Outcome", ...] = ()
    """What came of the payments that had waited for this reservation; their events are among the announcements."""


class Worksheet:
    """The states that a batch works on, and what is to be written of it."""

    def __init__(
        self,
        context: Context,
        seen: Mapping[UUID, Seen] | None = None,
        read: Mapping[UUID, Reservation] | None = None,
        waiting: Mapping[UUID, Sequence[RecordPayment]] | None = None,
        earlier: Mapping[UUID, Sequence[Announcement]] | None = None,
    ) -> None:
        self.context = context
        self._seen = dict(seen or {})
        self._read = dict(read or {})
        self._states = dict(self._read)
        self._waiting = {key: list(payments) for key, payments in (waiting or {}).items()}
        self._kept = {payment.command_id for payments in self._waiting.values() for payment in payments}
        self._earlier = dict(earlier or {})
        self._entries: dict[UUID, Entry] = {}
        self.changes: list[tuple[UUID, StatusChange]] = []

    def handle(self, command: AnyCommand) -> Outcome:
        """Decide one command on the state that those before it left."""
        asked = fingerprint(command)
        seen = self._seen.get(command.command_id)
        if seen is None:
            return self._decide(command, asked)
        if seen.fingerprint != asked:
            return self._refuse_reuse(command, asked)
        if seen.is_revived_by(command):
            self._kept.add(command.command_id)
            return self._decide(command, asked)
        return self._repeat(command, seen)

    def _decide(self, command: AnyCommand, asked: UUID) -> Outcome:
        state = self._states.get(command.reservation_id) if command.reservation_id else None
        decision = decide(state, command, self.context)
        if isinstance(decision, Parked):
            return self._park(command, asked)
        announcements = self._take_up(state, decision) if isinstance(decision, Applied) else ()
        released = self._release(decision.reservation.reservation_id) if isinstance(decision, Applied) else ()
        result = result_of(command, asked, decision, self.context.now)
        outcome = Outcome(
            command,
            result.outcome,
            result.error.code if result.error else None,
            result.reservation_id,
            result.shown(),
            (*announcements, *(each for payment in released for each in payment.announcements)),
            released=released,
        )
        self._keep(outcome, asked)
        return outcome

    def _take_up(self, state: Reservation | None, applied: Applied) -> tuple[Announcement, ...]:
        reservation = applied.reservation
        self._states[reservation.reservation_id] = reservation
        capacity = capacity_of(reservation.trip_id, self.context)
        self.context.books.move(holding_of(state), holding_of(reservation), capacity)
        if applied.change is None:
            return ()
        self.changes.append((reservation.reservation_id, applied.change))
        # What another lane may not have told yet goes out first.
        earlier = self._earlier.pop(reservation.reservation_id, ())
        return (*earlier, *map(announcement_of, events_of(applied)))

    def _park(self, command: AnyCommand, asked: UUID) -> Outcome:
        if command.reservation_id and isinstance(command, RecordPayment):
            self._waiting.setdefault(command.reservation_id, []).append(command)
        outcome = Outcome(command, OutcomeKind.PARKED, None, command.reservation_id, None)
        self._keep(outcome, asked)
        return outcome

    def _release(self, reservation_id: UUID) -> tuple[Outcome, ...]:
        """Handle the payments that waited for a reservation, in the order in which the money moved."""
        waiting = self._waiting.pop(reservation_id, ())
        in_order = sorted(waiting, key=_order_of_money)
        return tuple(self._decide(payment, fingerprint(payment)) for payment in in_order)

    def _keep(self, outcome: Outcome, asked: UUID) -> None:
        if outcome.code in PASSING:
            return
        command = outcome.command
        publications = orjson.dumps([orjson.Fragment(each.value) for each in outcome.announcements]).decode()
        self._entries[command.command_id] = Entry(
            command.command_id,
            command.type,
            outcome.reservation_id,
            asked,
            outcome.result,
            publications,
            parked=None if outcome.result else wire(command).decode(),
            released=_kept_of(outcome.released),
            issued_by=command.issued_by,
        )
        self._seen[command.command_id] = Seen(asked, outcome.result, publications, _kept_of(outcome.released))

    def _repeat(self, command: AnyCommand, seen: Seen) -> Outcome:
        if seen.outcome is None:
            return Outcome(command, OutcomeKind.PARKED, None, command.reservation_id, None, replayed=True)
        result = orjson.loads(seen.outcome)
        told = tuple(map(announcement_again, orjson.loads(seen.publications)))
        return Outcome(
            command,
            OutcomeKind(result["outcome"]),
            result["error"] and ErrorCode(result["error"]["code"]),
            result["reservation_id"] and UUID(result["reservation_id"]),
            orjson.dumps({**result, "replayed": True}).decode(),
            (*self._told_before(told), *told),
            replayed=True,
            released=tuple(map(self._release_again, orjson.loads(seen.released))),
        )

    def _release_again(self, kept: Mapping[str, Any]) -> Outcome:
        """Repeat what came of a payment that had waited; its events are told with those of what it waited for."""
        payment = RecordPayment.model_validate_json(orjson.dumps(kept["payment"]))
        return self._repeat(payment, Seen(fingerprint(payment), orjson.dumps(kept["result"]).decode(), "[]"))

    def _told_before(self, told: Sequence[Announcement]) -> Iterable[Announcement]:
        """Return the earlier events of the reservation that these are about."""
        if not told:
            return ()
        earlier = self._earlier.get(UUID(told[0].reservation_id), ())
        return takewhile(lambda each: each.event_id != told[0].event_id, earlier)

    def _refuse_reuse(self, command: AnyCommand, asked: UUID) -> Outcome:
        refusal = Rejected(
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This command id or idempotency key was used for another request; take a new one.",
        )
        result = refusal_of(command, asked, refusal, self.context.now)
        return Outcome(command, result.outcome, refusal.code, command.reservation_id, result.shown())

    def states(self) -> Mapping[UUID, Reservation]:
        """Return the reservations as they are now."""
        return self._states

    def touched(self) -> list[tuple[Reservation | None, Reservation]]:
        """Return the reservations that changed: as they were read, if they were there, and as they are now."""
        before = ((self._read.get(key), state) for key, state in self._states.items())
        return [(old, now) for old, now in before if now is not old]

    def new_entries(self) -> list[Entry]:
        """Return the inbox entries of messages that were not there."""
        return [entry for key, entry in self._entries.items() if key not in self._kept]

    def kept_entries(self) -> list[Entry]:
        """Return the inbox entries of messages that had been kept there, waiting or set aside."""
        return [entry for key, entry in self._entries.items() if key in self._kept]


def _kept_of(released: Sequence[Outcome]) -> str:
    """Return payments that had waited, each with its result, as JSON."""
    return orjson.dumps(
        [
            {"payment": orjson.Fragment(wire(each.command)), "result": orjson.Fragment(each.result or "null")}
            for each in released
        ]
    ).decode()


def _order_of_money(payment: RecordPayment) -> tuple[datetime, bool, UUID]:
    """Sort payments as the money moved; of the same instant, what was paid comes before what was given back."""
    return payment.issued_at, payment.payload.status is not PaymentStatus.COMPLETED, payment.command_id
