"""A small round in which nothing went wrong: the service's own agents on a real database, a list in place of Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from time import time
from typing import Any, cast
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord

from reservations.agents.commands import CommandAgent
from reservations.agents.decoding import decode_command, decode_payment
from reservations.agents.engine import Engine
from reservations.agents.months import BookableMonths
from reservations.agents.publications import Publication
from reservations.agents.publisher import Publisher
from reservations.agents.survival import Patience, Survivor
from reservations.agents.telling import Teller
from reservations.models.eligibility import Surroundings
from reservations.models.steps import Rules
from reservations.models.topics import BULK_COMMANDS, COMMANDS, PAYMENT_PROCESSED, RESULTS, Topic
from tests.bookings import a_booking, a_command, a_payment, encoded, key_of, message_id, new_reservation_id
from tests.databases import Connection
from tests.faults import ledger
from tests.faults.chance import HOT_TRIP
from tests.faults.journal import Journal
from tests.faults.sends import LANE_NAMES, POISON_HEADERS

Json = dict[str, Any]
Headers = Sequence[tuple[str, bytes]]

LANES = (COMMANDS, BULK_COMMANDS, PAYMENT_PROCESSED)
REST = "rest"
HOT_DAY = date(2027, 6, 12)


@dataclass
class Log:
    """Topics of one partition each."""

    records: list[ConsumerRecord] = field(default_factory=list)

    def end(self, topic: str) -> int:
        """Return the offset of the next message of a topic."""
        return sum(each.topic == topic for each in self.records)

    def add(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> ConsumerRecord:
        """Add a message that arrives now."""
        arrived_ms = int(time() * 1000)
        record = ConsumerRecord(topic, 0, self.end(topic), arrived_ms, 1, key, value, None, -1, -1, headers)
        self.records.append(record)
        return record

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Add what a worker publishes, in the place of a Publisher."""
        for each in publications:
            self.add(each.topic, each.key, each.value, each.headers)


@dataclass
class Round:
    """A round under way, in which every message is handled as soon as it is sent."""

    connection: Connection
    agents: Mapping[str, CommandAgent]
    journal: Journal
    log: Log

    async def send(self, topic: Topic, *messages: Json, lane: str = "") -> None:
        """Send commands or payments, to be handled in one batch, and note them."""
        for each in messages:
            self._note(each, lane or LANE_NAMES[topic.name])
        await self._handle(topic, [self.log.add(topic.name, key_of(each), encoded(each), ()) for each in messages])
        for each in messages:
            self.journal.note("accepted", command_id=message_id(each))

    def _note(self, message: Json, lane: str) -> None:
        self.journal.note(
            "sent",
            command_id=message_id(message),
            lane=lane,
            kind=message.get("type", "payment.record"),
            reservation_id=message.get("reservation_id"),
            expected_rev=message.get("expected_rev"),
            seats=message.get("payload", {}).get("party_size"),
        )

    async def ask(self, command: Json) -> None:
        """Send a command as the gateway does, and note its answer and a read of what it made."""
        await self.send(COMMANDS, command, lane=REST)
        made = self._result(command)["reservation"]
        told = {"reservation_id": made["id"], "rev": made["_rev"]}
        self.journal.note("answer", command_id=UUID(message_id(command)), status=200, code=None, **told)
        self.journal.note("read", reservation_id=made["id"], answered_rev=told["rev"], status=200, seen_rev=told["rev"])

    async def poison(self, topic: Topic, key: bytes, value: bytes) -> None:
        """Send what can't be understood."""
        self.journal.note("poison", lane=LANE_NAMES[topic.name], key=key.hex(), value=value.hex())
        await self._handle(topic, [self.log.add(topic.name, key, value, POISON_HEADERS)])
        self.journal.note("poison_accepted", value=value.hex())

    async def sample(self) -> None:
        """Note what is committed, which is everything, and what is in the inbox."""
        committed = [(ledger.short("", topic.name), 0, self.log.end(topic.name)) for topic in LANES]
        looked_at = time()
        inbox = [str(row[0]) for row in await self.connection.fetch("SELECT message_id FROM reservations.inbox")]
        self.journal.note("sample", committed=committed, inbox=inbox, looked_at=looked_at)

    async def write(self) -> None:
        """Write the ledger."""
        await ledger.write_journal(self.connection, self.journal)
        await ledger.write_samples(self.connection, self.journal)
        await ledger.write_records(self.connection, self.log.records, "")

    async def _handle(self, topic: Topic, records: Sequence[ConsumerRecord]) -> None:
        tell = await self.agents[topic.name].handle(
            [replace(each, timestamp=each.timestamp // 1000) for each in records]
        )
        await tell()

    def _result(self, message: Json) -> Json:
        results: list[Json] = [json.loads(each.value) for each in self.log.records if each.topic == RESULTS.name]
        return next(each for each in results if each["command_id"] == message_id(message))


async def play(this: Round) -> None:
    """Play the round: one thing of every kind that the checks ask about."""
    await this.connection.execute(
        "INSERT INTO reservations.trip_slots (trip_id, trip_date, capacity) VALUES ($1, $2, 2)", HOT_TRIP, HOT_DAY
    )
    paid = await _last_seats(this)
    await this.send(COMMANDS, _creation(trip_id=str(HOT_TRIP), party_size=1))  # refused: nothing is free
    await this.send(PAYMENT_PROCESSED, a_payment(new_reservation_id(), 10.0))  # waits for ever
    await this.poison(BULK_COMMANDS, paid.encode(), b'{"half a com')
    this.journal.note("fact", name="recovered")
    cancel = _cancellation(paid)
    for _ in range(2):
        await this.send(BULK_COMMANDS, cancel)
    await _seats_for_a_moment(this)
    await this.send(PAYMENT_PROCESSED, a_payment(paid, 10.0))  # refused: too late, somebody must look at it
    await this.ask(a_command("reservation.create", _booking(party_size=1)))
    await this.send(BULK_COMMANDS, _creation(party_size=2))
    await this.sample()


async def _last_seats(this: Round) -> str:
    """Book the last seats of a trip, pay for them and take on the gear; return the reservation's id."""
    creation = _creation(trip_id=str(HOT_TRIP), party_size=2, total_amount=400.0, awaiting_payment=True)
    reservation_id: str = creation["reservation_id"]
    await this.send(COMMANDS, creation)
    await this.send(PAYMENT_PROCESSED, a_payment(reservation_id, 400.0))
    move = {"reservation_id": reservation_id, "expected_rev": 2}
    await this.ask(a_command("reservation.transition", {"target_status": "GEAR_ASSIGNED"}, **move))
    return reservation_id


async def _seats_for_a_moment(this: Round) -> None:
    """Book the last seats and cancel that, all in one batch, with somebody in between who wants one."""
    creation, another = (_creation(trip_id=str(HOT_TRIP), party_size=size) for size in (2, 1))
    await this.send(COMMANDS, creation, another, _cancellation(creation["reservation_id"]))


def _cancellation(reservation_id: str) -> Json:
    return a_command("reservation.cancel", {"reason": "WEATHER"}, reservation_id=reservation_id)


def _creation(**changes: Any) -> Json:
    return a_command("reservation.create", _booking(**changes), reservation_id=new_reservation_id())


def _booking(**changes: Any) -> Json:
    booking = a_booking(trip_date=str(HOT_DAY), **changes)
    return {**booking, "participants": [{"guest_id": booking["guest_id"], "role": "PRIMARY"}]}


@asynccontextmanager
async def a_round(address: str, folder: Path) -> AsyncIterator[Round]:
    """Give a round on a migrated database with a ledger, of which nothing is played yet."""
    journal = Journal(folder / "history.jsonl")
    async with asyncpg.create_pool(address, min_size=1, max_size=2) as pool:
        months = BookableMonths()
        await months.keep(pool)
        log = Log()
        agents = {topic.name: _agent(pool, months, topic, log) for topic in LANES}
        async with pool.acquire() as connection:
            yield Round(cast("Connection", connection), agents, journal, log)
    journal.close()


def _agent(pool: "asyncpg.Pool[asyncpg.Record]", months: BookableMonths, topic: Topic, log: Log) -> CommandAgent:
    patience = Patience(asyncio.Event(), lambda *_: None)
    return CommandAgent(
        decode=decode_payment if topic is PAYMENT_PROCESSED else decode_command,
        survivor=Survivor(Engine(pool, months, _look_nowhere, Rules(), lane=topic.lane), patience),
        publisher=cast("Publisher", log),
        tell=Teller(PAYMENT_PROCESSED.name).tell,
        patience=patience,
        on_verdict=lambda *_: None,
    )


async def _look_nowhere(_: object) -> Surroundings:
    return Surroundings()
