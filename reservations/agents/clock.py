"""The clock: what becomes due is put on the command topic, by one worker at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from reservations.agents.publications import JSON, Publication, payment_dead_letter
from reservations.agents.publisher import Publisher
from reservations.models.commands import Transition, TransitionReservation, fingerprint, wire
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.results import set_aside
from reservations.models.topics import COMMANDS, PAYMENT_PROCESSED
from reservations.models.vocabulary import NO_SHOW_TIMEOUT, PAYMENT_TIMEOUT, Status
from reservations.models.worksheet import Entry
from reservations.tables import due, inbox
from reservations.tables.round_trips import write_at_once

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection, AnyPool

ISSUER = "svc-reservations"
MAX_DUE = 500
#: Each batch is a transaction of some milliseconds; more than a worker answers in a minute is deleted in one.
PRUNED_AT_ONCE, MAX_BATCHES_PRUNED = 1000, 500
_COMMAND_IDS = UUID("0d7f3a52-51a4-5b0e-8d5a-0f2b9f6c7e10")
_UNCLAIMED = Rejected(
    ErrorCode.PAYMENT_UNCLAIMED,
    "No reservation has this id; the payment waited for one in vain. Refund it or redrive it.",
)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a hold lasts, a guest may be late after the trip date (None: for ever), and a payment may wait.

    `inbox` is how long it is remembered that a message was answered, and how.
    """

    hold: timedelta
    no_show: timedelta | None
    parked: timedelta
    inbox: timedelta


class Clock:
    """Looks for what is due. What it asks for may be refused like any command: then it was no longer due."""

    def __init__(
        self,
        pool: "AnyPool",
        publisher: Publisher,
        deadlines: Deadlines,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        on_dead_letters: Callable[[ErrorCode, int], object] = lambda *_: None,
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._deadlines = deadlines
        self._now = now
        self._on_dead_letters = on_dead_letters

    async def tick(self) -> int:
        """Put what is due on its topics; return how much that was, 0 when another worker has the clock."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await due.take_the_clock(connection):
                return 0
            now = self._now()
            commands = [*await self._expired_holds(connection, now), *await self._no_shows(connection, now)]
            letters = await self._unclaimed_payments(connection, now)
            # Before the commit: what is published twice is noticed, what is not published is not.
            await self._publisher.publish([*map(_publication, commands), *letters])
        self._on_dead_letters(_UNCLAIMED.code, len(letters))
        return len(commands) + len(letters)

    async def prune(self) -> int:
        """Delete what was answered so long ago that nothing can bring it again; return how much that was."""
        before, deleted = self._now() - self._deadlines.inbox, 0
        for _ in range(MAX_BATCHES_PRUNED):
            async with self._pool.acquire() as connection:
                count = await inbox.prune(connection, before, PRUNED_AT_ONCE)
            deleted += count
            if count < PRUNED_AT_ONCE:
                break
        return deleted

    async def _expired_holds(self, connection: "AnyConnection", now: datetime) -> Sequence[TransitionReservation]:
        found = await due.unpaid_holds(connection, now - self._deadlines.hold, MAX_DUE)
        return [_transition(key, rev, Status.CANCELLED, PAYMENT_TIMEOUT, now) for key, rev in found]

    async def _no_shows(self, connection: "AnyConnection", now: datetime) -> Sequence[TransitionReservation]:
        if self._deadlines.no_show is None:
            return ()
        # A trip date ends at midnight, UTC.
        last_day = (now - self._deadlines.no_show - timedelta(days=1)).date()
        found = await due.no_shows(connection, last_day, MAX_DUE)
        return [_transition(key, rev, Status.NO_SHOW, NO_SHOW_TIMEOUT, now) for key, rev in found]

    async def _unclaimed_payments(self, connection: "AnyConnection", now: datetime) -> Sequence[Publication]:
        payments = await inbox.waiting_since(connection, now - self._deadlines.parked, MAX_DUE)
        told = [set_aside(payment.command_id, _UNCLAIMED, now, payment).shown() for payment in payments]
        entries = [
            Entry(payment.command_id, payment.type, payment.reservation_id, fingerprint(payment), result)
            for payment, result in zip(payments, told, strict=True)
        ]
        await write_at_once(connection, [inbox.answer(entries)])
        topic = self._publisher.full_name(PAYMENT_PROCESSED)
        return [payment_dead_letter(payment, topic, _UNCLAIMED, now) for payment in payments]


def _transition(reservation_id: UUID, rev: int, target: Status, reason: str, now: datetime) -> TransitionReservation:
    return TransitionReservation(
        # The same for whoever finds the same revision due: asked for twice, done once.
        command_id=uuid5(_COMMAND_IDS, f"{reason} {reservation_id} {rev}"),
        reservation_id=reservation_id,
        issued_at=now,
        issued_by=ISSUER,
        expected_rev=rev,
        payload=Transition(target_status=target, reason=reason),
    )


def _publication(command: TransitionReservation) -> Publication:
    return Publication(COMMANDS.name, str(command.reservation_id).encode(), wire(command), [JSON])
