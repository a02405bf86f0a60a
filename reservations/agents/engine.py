"""The engine: applies a batch of commands in one transaction, each once, and says what is to be published."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from reservations.agents.turns import in_turns
from reservations.models.books import Books, GuestDay, Seats, Slot
from reservations.models.commands import (
    AddParticipant,
    AnyCommand,
    CreateReservation,
    NewReservation,
    RecordPayment,
    UpdateReservation,
)
from reservations.models.eligibility import Surroundings
from reservations.models.events import Announcement
from reservations.models.identifiers import BufferedEntropy
from reservations.models.reservation import Participant, Reservation
from reservations.models.steps import Context, Rules
from reservations.models.worksheet import Outcome, Seen, Worksheet
from reservations.tables import guest_days, inbox, participants, reservations, status_history, trip_slots
from reservations.tables.round_trips import read_at_once, write_at_once

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection, AnyPool


class Applies(Protocol):
    """Anything that applies a batch of commands: the engine, and what is wrapped around it."""

    async def apply(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        """Apply commands in their order; return an outcome for each."""


class Months(Protocol):
    """The months that can be booked in."""

    @property
    def first(self) -> datetime:
        """The first instant of the first month."""

    @property
    def end(self) -> datetime:
        """The first instant after the last month."""


#: Asks the neighbours what the commands need to know of guests and trips.
LookAround = Callable[[Sequence[AnyCommand]], Awaitable[Surroundings]]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of all that a batch may touch, but for the seats of its trip dates."""

    seen: Mapping[UUID, Seen]
    read: Mapping[UUID, Reservation]
    waiting: Mapping[UUID, Sequence[RecordPayment]]
    earlier: Mapping[UUID, Sequence[Announcement]]
    days: Mapping[GuestDay, UUID]
    slots: Collection[Slot]


class Engine:
    """Applies batches over a pool of connections."""

    def __init__(
        self,
        pool: "AnyPool",
        months: Months,
        look_around: LookAround,
        rules: Rules,
        *,
        lane: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._months = months
        self._look_around = look_around
        self._rules = rules
        self._lane = lane
        self._clock = clock
        self._entropy = BufferedEntropy()
        self._seats_are_wanted = False

    async def apply(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        """Apply the commands in their order, all in one transaction; return an outcome for each.

        Raises:
            asyncpg.PostgresError, StaleWriteError: nothing was applied.

        """
        surroundings = await self._look_around(commands)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                sheet, outcomes = await self._decide(connection, commands, surroundings)
                await write(connection, sheet)
        except trip_slots.SeatsTakenError:
            self._seats_are_wanted = True
            raise
        self._seats_are_wanted = False
        return outcomes

    async def _decide(
        self, connection: "AnyConnection", commands: Sequence[AnyCommand], surroundings: Surroundings
    ) -> tuple[Worksheet, list[Outcome]]:
        """Decide every command on what is there; nothing is written yet.

        Seats are read without a lock, so that batches wait for each other only while they write: what is taken is
        checked then. A lock is needed to say that there is none left, and where others were faster.
        """
        found, seats = await self._open(connection, commands)
        sheet = self._sheet(found, seats, surroundings)
        outcomes = await in_turns(sheet.handle, commands)
        if sheet.context.books.found_full and not self._seats_are_wanted:
            (seats,) = await read_at_once(connection, trip_slots.lock(found.slots))
            sheet = self._sheet(found, seats, surroundings)
            outcomes = await in_turns(sheet.handle, commands)
        return sheet, outcomes

    async def _open(
        self, connection: "AnyConnection", commands: Sequence[AnyCommand]
    ) -> tuple[Found, Mapping[Slot, Seats]]:
        """Read and lock what the commands may touch, always in the same order.

        What was waited for may be no longer what it was: what depends on that is read by a later statement.
        """
        seen, _ = await read_at_once(
            connection,
            inbox.of_messages({command.command_id for command in commands}),
            inbox.take_turns(_named(commands, CreateReservation, RecordPayment)),
        )
        fresh = [command for command in commands if _is_fresh(command, seen.get(command.command_id))]
        repeated = [command for command in commands if not _is_fresh(command, seen.get(command.command_id))]
        locked, waiting = await read_at_once(
            connection,
            reservations.lock(_named(fresh)),
            inbox.waiting_for(_named(fresh, CreateReservation)),
        )
        slots, look = _slots(fresh, locked), trip_slots.lock if self._seats_are_wanted else trip_slots.read
        parties, earlier, days, seats = await read_at_once(
            connection,
            participants.of_reservations(locked.keys()),
            status_history.told_since(self._to_be_told_first(locked.values(), repeated)),
            guest_days.held(_days(fresh, locked)),
            look(slots),
        )
        read = {key: state.with_party(parties.get(key, ())) for key, state in locked.items()}
        return Found(seen, read, waiting, earlier, days, slots), seats

    def _sheet(self, found: Found, seats: Mapping[Slot, Seats], surroundings: Surroundings) -> Worksheet:
        context = Context(
            self._clock(),
            self._months.first,
            self._months.end,
            Books(seats, found.days),
            surroundings,
            self._rules,
            self._entropy,
            self._lane,
        )
        return Worksheet(context, found.seen, found.read, found.waiting, found.earlier)

    def _to_be_told_first(self, read: Iterable[Reservation], repeated: Iterable[AnyCommand]) -> dict[UUID, int]:
        """Return the reservations of which another lane may not have told all, and from which revision on.

        That lane's worker may be slow, or have died between its commit and its telling. Where a command is repeated,
        nothing says by which lanes the changes before it came.
        """
        changed_elsewhere = {
            each.reservation_id: each.told.since_rev for each in read if each.told and each.told.lane != self._lane
        }
        return {**changed_elsewhere, **dict.fromkeys(_named(repeated), 1)}


def _is_fresh(command: AnyCommand, seen: Seen | None) -> bool:
    return seen is None or seen.is_revived_by(command)


def _named(commands: Iterable[AnyCommand], *kinds: type) -> set[UUID]:
    """Return the reservations that commands name, those of these kinds or all."""
    return {
        command.reservation_id
        for command in commands
        if command.reservation_id and (not kinds or isinstance(command, kinds))
    }


def _booked(
    commands: Iterable[AnyCommand], read: Mapping[UUID, Reservation]
) -> Mapping[UUID, NewReservation | Reservation]:
    """Return the bookings that the commands are about: those that the batch makes, and those that were there."""
    made = (each for each in commands if isinstance(each, CreateReservation))
    return {**{each.reservation_id: each.payload for each in made if each.reservation_id}, **read}


def _slots(commands: Sequence[AnyCommand], read: Mapping[UUID, Reservation]) -> set[Slot]:
    """Return every trip date whose seats the commands may take or give back."""
    slots, booked = set(), _booked(commands, read)
    for command in commands:
        if isinstance(command, CreateReservation):
            slots.add((command.payload.trip_id, command.payload.trip_date))
        booking = booked.get(command.reservation_id) if command.reservation_id else None
        if booking and not isinstance(command, AddParticipant):
            slots.add((booking.trip_id, booking.trip_date))
            if isinstance(command, UpdateReservation) and command.payload.trip_date:
                slots.add((booking.trip_id, command.payload.trip_date))
    return slots


def _days(commands: Sequence[AnyCommand], read: Mapping[UUID, Reservation]) -> set[GuestDay]:
    """Return every guest day that the commands may claim or free."""
    booked = _booked(commands, read)
    days = {(booking.guest_id, booking.trip_date) for booking in booked.values()}
    for command in commands:
        if isinstance(command, CreateReservation):
            days.add((command.payload.guest_id, command.payload.trip_date))
        elif isinstance(command, UpdateReservation) and command.payload.trip_date and command.reservation_id in booked:
            days.add((booked[command.reservation_id].guest_id, command.payload.trip_date))
    return days


async def write(connection: "AnyConnection", sheet: Worksheet) -> None:
    """Write everything that a batch came to.

    Trip dates, guest days and the inbox are what batches may wait for: always in this order, and each in the order of
    its keys, so that nobody waits in a circle.
    """
    touched, books, seats = sheet.touched(), sheet.context.books, sheet.context.books.seat_changes()
    joined, changed = _party_changes(touched)
    await trip_slots.open_new(connection, [slot for slot, _ in seats if slot not in books.slots_read])
    writes = [
        reservations.insert([now for old, now in touched if old is None]),
        reservations.update([(old.rev, now) for old, now in touched if old is not None]),
        participants.insert([(key, sheet.context.now, guest) for key, guest in joined]),
        participants.update(changed),
        status_history.insert(sheet.changes),
        trip_slots.change(seats),
    ]
    freed = guest_days.free(books.freed_days())
    if freed:
        await write_at_once(connection, (*writes, freed))
        writes = []
    await write_at_once(
        connection,
        (
            *writes,
            guest_days.claim(books.claimed_days()),
            inbox.answer(sheet.kept_entries()),
            inbox.insert(sheet.new_entries()),
        ),
    )


def _party_changes(
    touched: Collection[tuple[Reservation | None, Reservation]],
) -> tuple[list[tuple[UUID, Participant]], list[Participant]]:
    joined, changed = [], []
    for old, now in touched:
        known = {guest.participant_id: guest for guest in old.participants} if old else {}
        for guest in now.participants:
            if guest.participant_id not in known:
                joined.append((now.reservation_id, guest))
            elif guest is not known[guest.participant_id]:
                changed.append(guest)
    return joined, changed
