"""What the contestants are given to do: commands drawn from a seed, the same for all of them."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from reservations.models.identifiers import unix_ms, uuid7

TRIP_DATES = 1_000
CAPACITY = 10_000
DUPLICATES = 0.05
POISON = 0.005
DUPLICATE_WITHIN = 500  # messages
FIRST_DAY = date(2027, 1, 1)
NOTE = "Vegan meals; arrives late; needs a left-handed paddle. " * 6
CREATE, TRANSITION = "reservation.create", "reservation.transition"
UPDATE, CANCEL = "reservation.update", "reservation.cancel"
MIXED = ((CREATE, 60), (TRANSITION, 25), (UPDATE, 10), (CANCEL, 5))
#: A change of status that is always allowed, and leads round and round.
NEXT_STATUS = {"CONFIRMED": "GEAR_ASSIGNED", "GEAR_ASSIGNED": "CONFIRMED"}


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stands on the command topic."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Slot:
    """A trip date and its seats."""

    trip_id: UUID
    trip_date: date
    capacity: int


@dataclass(frozen=True, slots=True)
class Workload:
    """Messages in the order they are sent, and what must come of them; `poison` counts those nobody can read."""

    name: str
    messages: Sequence[Message]
    slots: Sequence[Slot]
    effects: frozenset[UUID]
    """The ids of the commands, each of which must take effect once."""
    kinds: Counter[str]
    """How many commands there are of each type."""
    seats: int
    """Seats taken when all is done."""
    poison: int


@dataclass(slots=True)
class Booking:
    """What the sender knows of a reservation that it made."""

    reservation_id: UUID
    status: str = "CONFIRMED"
    party_size: int = 2


class Sender:
    """Draws commands that are all valid when they are applied in the order of their keys."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)  # noqa: S311  # a workload is to be repeatable
        self._now = datetime.now(UTC)
        self.slots = [
            Slot(self._id(), FIRST_DAY + timedelta(days=self._chance.randrange(365)), CAPACITY)
            for _ in range(TRIP_DATES)
        ]
        self._active: list[Booking] = []
        self.seats = 0

    def commands(self, count: int, mix: Sequence[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        """Draw commands; until something was booked every one is a booking."""
        kinds, weights = zip(*mix, strict=True)
        for kind in self._chance.choices(kinds, weights, k=count):
            yield self._create() if kind == CREATE or not self._active else self._change(kind)

    def messages(self, commands: Sequence[dict[str, Any]]) -> list[Message]:
        """Return the commands as messages, some twice, with poison among them."""
        placed: list[tuple[float, Message]] = []
        for place, command in enumerate(commands):
            message = Message(command["reservation_id"].encode(), json.dumps(command).encode())
            placed.append((place, message))
            if self._chance.random() < DUPLICATES:
                placed.append((place + self._chance.uniform(0.5, DUPLICATE_WITHIN), message))
            if self._chance.random() < POISON:
                placed.append((place + 0.5, Message(message.key, message.value[: len(message.value) // 2])))
        return [message for _, message in sorted(placed, key=lambda each: each[0])]

    def _create(self) -> dict[str, Any]:
        booking = Booking(uuid7(unix_ms(self._now)))
        self._active.append(booking)
        self.seats += booking.party_size
        slot = self._chance.choice(self.slots)
        guest = str(self._id())
        payload = {
            "guest_id": guest,
            "trip_id": str(slot.trip_id),
            "trip_date": slot.trip_date.isoformat(),
            "booking_source": "PARTNER_API",
            "participants": [{"guest_id": guest, "role": "PRIMARY"}, {"guest_id": str(self._id())}],
            "party_size": booking.party_size,
            "total_amount": self._chance.randrange(10_000, 200_000) / 100,
            "special_requirements": NOTE.strip(),
            "emergency_contact": {"name": "Sam Rivera", "phone": "+1 555 0100", "relationship": "sister"},
        }
        return self._command(CREATE, booking, payload)

    def _change(self, kind: str) -> dict[str, Any]:
        place = self._chance.randrange(len(self._active))
        booking = self._active[place]
        if kind == TRANSITION:
            booking.status = NEXT_STATUS[booking.status]
            return self._command(kind, booking, {"target_status": booking.status})
        if kind == UPDATE:
            self.seats += 1
            booking.party_size += 1
            return self._command(kind, booking, {"party_size": booking.party_size})
        self._active[place] = self._active[-1]
        self._active.pop()
        self.seats -= booking.party_size
        return self._command(kind, booking, {"reason": "GUEST_REQUEST"})

    def _command(self, kind: str, booking: Booking, payload: dict[str, Any]) -> dict[str, Any]:
        return {
            "command_id": str(self._id()),
            "type": kind,
            "reservation_id": str(booking.reservation_id),
            "issued_at": self._now.isoformat(),
            "issued_by": "partner-imports",
            "payload": payload,
        }

    def _id(self) -> UUID:
        return UUID(int=self._chance.getrandbits(128), version=4)


def drain(count: int, seed: int) -> Workload:
    """Return W1: bookings of about 1 KB, each for two."""
    return _workload("W1", count, seed, ((CREATE, 1),))


def mixed(count: int, seed: int) -> Workload:
    """Return W2: bookings, changes of status, updates and cancellations."""
    return _workload("W2", count, seed, MIXED)


def _workload(name: str, count: int, seed: int, mix: Sequence[tuple[str, int]]) -> Workload:
    sender = Sender(seed)
    commands = list(sender.commands(count, mix))
    messages = sender.messages(commands)
    poison = sum(not message.value.endswith(b"}") for message in messages)
    effects = frozenset(UUID(command["command_id"]) for command in commands)
    kinds = Counter(command["type"] for command in commands)
    return Workload(name, messages, sender.slots, effects, kinds, sender.seats, poison)
