"""The load of a drill: bookers who book, change and cancel at a steady rate, through the engine of the service."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from reservations.agents.engine import Engine
from reservations.agents.months import BookableMonths
from reservations.app.drill.ledger import CREATE, Ledger
from reservations.models.commands import (
    AddParticipant,
    Cancellation,
    CancelReservation,
    Command,
    CreateReservation,
    NewParticipant,
    NewReservation,
    ReservationChanges,
    Transition,
    TransitionReservation,
    UpdateReservation,
)
from reservations.models.eligibility import Surroundings
from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.steps import Rules
from reservations.models.topics import COMMANDS
from reservations.models.vocabulary import CancellationReason, Status
from reservations.models.worksheet import Outcome
from reservations.tables.database import WRITER, PoolLimits, pool_of

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

BOOKERS = 4
BATCHES_PER_S = 5.0
LIMITS = PoolLimits("reservations-drill", 0, BOOKERS, 60.0, 10.0)
TRIPS = tuple(UUID(int=0x4000_9000 << 64 | number) for number in range(20))


async def open_pool(dsn: str) -> "AnyPool":
    """Connect a pool as the worker's."""
    return await pool_of(dsn, WRITER, LIMITS)


async def an_engine(pool: "AnyPool") -> Engine:
    """Return the engine of a worker that asks no neighbours."""
    months = BookableMonths()
    await months.keep(pool)
    return Engine(pool, months, _look_nowhere, Rules(), lane=COMMANDS.lane)


async def _look_nowhere(_: object) -> Surroundings:
    return Surroundings()


async def perform(engine: Engine, ledger: Ledger, commands: Sequence[Command]) -> list[Outcome]:
    """Apply a batch; note it before, and after its commit."""
    ledger.send(commands)
    outcomes = await engine.apply(commands)
    for command, outcome in zip(commands, outcomes, strict=True):
        ledger.answer(command, outcome.result or "null")
    return outcomes


class Bookers:
    """Bookers at work between `start` and `stop`."""

    def __init__(self, ledger: Ledger, bookings_per_second: float) -> None:
        self._ledger = ledger
        self._per_batch = max(1, round(bookings_per_second / BOOKERS / BATCHES_PER_S))
        self._pause_s = self._per_batch * BOOKERS / bookings_per_second
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, engine: Engine) -> None:
        """Begin to book."""
        self._stopping.clear()
        self._tasks = [asyncio.create_task(self._book(engine)) for _ in range(BOOKERS)]

    async def during(self, seconds: float) -> None:
        """Go on for so long, whether anybody books or not; raise what a booker met."""
        if not self._tasks:
            await asyncio.sleep(seconds)
            return
        await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self) -> None:
        """Let each batch come to its end; then nothing is under way."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        self._tasks = []

    async def abandon(self) -> None:
        """End whatever is under way; the server is gone."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _book(self, engine: Engine) -> None:
        clock, changes = asyncio.get_running_loop().time, list[Command]()
        due = clock() + random.random() * self._pause_s  # noqa: S311  # so that they do not all come at once
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), max(0.0, due - clock()))
            due = max(due + self._pause_s, clock() - 1)
            creates = [a_booking(number) for number in range(self._per_batch)]
            outcomes = await perform(engine, self._ledger, [*changes, *creates])
            changes = list(_changes(outcomes))


def a_booking(number: int = 0) -> CreateReservation:
    """Return a booking by a guest of its own: over Kafka under an id of its own, or as REST sends it, without one."""
    now = datetime.now(UTC)
    return CreateReservation(
        **_envelope(),
        reservation_id=uuid7(unix_ms(now)) if number % 2 else None,
        payload=NewReservation(
            guest_id=uuid4(),
            trip_id=TRIPS[number % len(TRIPS)],
            trip_date=date.today() + timedelta(days=30 + random.randrange(60)),  # noqa: S311, DTZ011  # any day ahead
            party_size=3,
            total_amount=Decimal("597.00"),
        ),
    )


def _changes(outcomes: Sequence[Outcome]) -> Iterator[Command]:
    """Yield what the bookers do next with what they have just booked: of five, one is left as it is."""
    booked = [each.reservation_id for each in outcomes if each.command.type == CREATE and each.reservation_id]
    for reservation_id in booked:
        one = {**_envelope(), "reservation_id": reservation_id}
        kind = random.randrange(5)  # noqa: S311
        if kind == 0:
            yield AddParticipant(**one, payload=NewParticipant(guest_id=uuid4()))
        elif kind == 1:
            yield UpdateReservation(**one, payload=ReservationChanges(party_size=4))
        elif kind == 2:
            yield CancelReservation(**one, payload=Cancellation(reason=CancellationReason.GUEST_REQUEST))
        elif kind == 3:
            yield TransitionReservation(**one, payload=Transition(target_status=Status.CHECKED_IN))


def _envelope() -> dict[str, Any]:
    return {"command_id": uuid4(), "issued_at": datetime.now(UTC), "issued_by": "drill"}
