"""A batch at work: commands decided one after the other over the states they share, then written together."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from reservations.models.commands import Command, fingerprint
from reservations.models.decisions import Applied, Context, Decision, decide
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.events import Announcement, Event, announcement_again, announcement_of, events_of
from reservations.models.reservation import Participant, Reservation, StatusChange
from reservations.models.results import OutcomeKind, refusal_of, result_of
from reservations.tables import inbox, participants, reservations, status_history
from reservations.tables.inbox import Seen

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection


@dataclass(frozen=True, slots=True)
class Outcome:
    """What handling a command came to: the result (JSON) and the events that tell of it."""

    command: Command
    kind: OutcomeKind
    code: ErrorCode | None
    reservation_id: UUID | None
    result: str
    announcements: tuple[Announcement, ...] = ()
    replayed: bool = False


class Batch:
    """The states that a batch of commands works on, and what is to be written of it."""

    def __init__(self, seen: dict[UUID, Seen], read: dict[UUID, Reservation], context: Context) -> None:
        self._seen = seen
        self._read = read
        self._states = dict(read)
        self._context = context
        self._changes: list[tuple[UUID, StatusChange]] = []
        self._entries: list[inbox.Entry] = []

    def handle(self, command: Command) -> Outcome:
        """Decide one command on the state that those before it left."""
        asked = fingerprint(command)
        seen = self._seen.get(command.command_id)
        if seen is not None:
            return self._repeat(command, asked, seen)
        state = self._states.get(command.reservation_id) if command.reservation_id else None
        decision = decide(state, command, self._context)
        events = self._take_up(decision) if isinstance(decision, Applied) else ()
        return self._record(command, asked, decision, events)

    def _take_up(self, applied: Applied) -> tuple[Event, ...]:
        reservation = applied.reservation
        self._states[reservation.reservation_id] = reservation
        if applied.change:
            self._changes.append((reservation.reservation_id, applied.change))
        return events_of(applied)

    def _record(self, command: Command, asked: UUID, decision: Decision, events: tuple[Event, ...]) -> Outcome:
        result = result_of(command, asked, decision, self._context.now)
        outcome = Outcome(
            command,
            result.outcome,
            result.error.code if result.error else None,
            result.reservation_id,
            result.shown(),
            tuple(map(announcement_of, events)),
        )
        entry = inbox.Entry(
            command.command_id,
            command.type,
            outcome.reservation_id,
            asked,
            outcome.result,
            orjson.dumps([orjson.Fragment(a.value) for a in outcome.announcements]).decode(),
        )
        self._entries.append(entry)
        self._seen[command.command_id] = Seen(asked, entry.outcome, entry.publications)
        return outcome

    def _repeat(self, command: Command, asked: UUID, seen: Seen) -> Outcome:
        if seen.fingerprint != asked:
            return self._refuse_reuse(command, asked)
        result = orjson.loads(seen.outcome)
        kind = OutcomeKind(result["outcome"])
        reservation_id = result["reservation_id"] and UUID(result["reservation_id"])
        code = result["error"] and ErrorCode(result["error"]["code"])
        repeated = orjson.dumps({**result, "replayed": True}).decode()
        announcements = tuple(map(announcement_again, orjson.loads(seen.publications)))
        return Outcome(command, kind, code, reservation_id, repeated, announcements, replayed=True)

    def _refuse_reuse(self, command: Command, asked: UUID) -> Outcome:
        refusal = Rejected(
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This command id or idempotency key was used for another request; take a new one.",
        )
        result = refusal_of(command, asked, refusal, self._context.now)
        return Outcome(command, result.outcome, refusal.code, command.reservation_id, result.shown())

    async def write(self, connection: "AnyConnection") -> None:
        """Write everything that the commands came to."""
        touched = [state for key, state in self._states.items() if state is not self._read.get(key)]
        before = [(self._read.get(state.reservation_id), state) for state in touched]
        await reservations.insert(connection, [after for old, after in before if old is None])
        await reservations.update(connection, [(old.rev, after) for old, after in before if old is not None])
        joined, changed = _party_changes(before)
        await participants.insert(connection, [(key, self._context.now, guest) for key, guest in joined])
        await participants.update(connection, changed)
        await status_history.insert(connection, self._changes)
        # Last: whoever waits for a message of ours to be handled waits for our commit only, so there is no deadlock.
        await inbox.insert(connection, self._entries)


def _party_changes(
    before_and_after: Collection[tuple[Reservation | None, Reservation]],
) -> tuple[list[tuple[UUID, Participant]], list[Participant]]:
    joined, changed = [], []
    for old, after in before_and_after:
        known = {guest.participant_id: guest for guest in old.participants} if old else {}
        for guest in after.participants:
            if guest.participant_id not in known:
                joined.append((after.reservation_id, guest))
            elif guest is not known[guest.participant_id]:
                changed.append(guest)
    return joined, changed
