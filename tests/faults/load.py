"""The load of a round: careful callers over REST, producers in both lanes, payments; drawn from a seed.

Always among it: 5 % duplicates, 20 % of the payments before their booking, 2 % out of order, 0.5 % poison, 10 % of the
changes on a stale revision, and a trip date that sells out.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from time import monotonic, time
from typing import Any
from uuid import UUID, uuid5

import aiohttp
from aiokafka import AIOKafkaProducer

from reservations.http.writes import ANONYMOUS, IDEMPOTENCY_NAMESPACE
from reservations.models.identifiers import uuid7
from tests.bookings import a_booking, a_command, a_payment, key_of, message_id
from tests.faults.deployment import BULK, COMMANDS, PAYMENTS, Deployment
from tests.faults.journal import Journal

REST_CLIENTS = 6
STORY_PAUSE_S = 0.04
DUPLICATES, EARLY, OUT_OF_ORDER, POISON, STALE, HOT = 0.05, 0.20, 0.02, 0.005, 0.10, 0.15
HELD, REFUNDED, WRONG_CURRENCY = 0.25, 0.1, 0.03
READS = 0.3
REQUEST_LIMIT_S = 20
RESOLVE_LIMIT_S = 60
RETRY_PAUSE_S = 0.25
HOT_TRIP, HOT_SEATS = UUID("00000000-0000-4000-9000-00000000000a"), 60
FINAL_REFUSALS = range(400, 500)
MOVES = {
    "PENDING": ("CONFIRMED",),
    "CONFIRMED": ("GEAR_ASSIGNED", "CHECKED_IN", "NO_SHOW"),
    "GEAR_ASSIGNED": ("CONFIRMED", "CHECKED_IN"),
    "CHECKED_IN": ("IN_PROGRESS",),
    "IN_PROGRESS": ("COMPLETED",),
}
LANE_NAMES = {COMMANDS: "commands", BULK: "bulk", PAYMENTS: "payments"}
Json = dict[str, Any]


class Chance(random.Random):
    """Chance, the same for the same seed."""

    def hits(self, share: float) -> bool:
        """Tell whether something happens that happens so often."""
        return self.random() < share

    def uuid(self) -> UUID:
        """Return a random UUID."""
        return UUID(int=self.getrandbits(128), version=4)

    def reservation_id(self) -> str:
        """Return an id for a reservation made now."""
        return str(uuid7(int(time() * 1000), self.randbytes))


def hot_date() -> date:
    """Return the date that sells out."""
    return datetime.now(UTC).date() + timedelta(days=200)


def booking(chance: Chance, **changes: Any) -> Json:
    """Return a booking, now and then for the trip date that sells out."""
    size = chance.randint(1, 3)
    asked = {
        "guest_id": str(chance.uuid()),
        "trip_id": str(chance.uuid()),
        "trip_date": str(hot_date() + timedelta(days=chance.randint(1, 60))),
        "party_size": size,
        "total_amount": 100.0 * size,
        "participants": [{"guest_id": str(chance.uuid()), "role": "PRIMARY"}],
    }
    if chance.hits(HOT):
        asked.update(trip_id=str(HOT_TRIP), trip_date=str(hot_date()))
    if chance.hits(HELD):
        asked["awaiting_payment"] = True
    return a_booking(**{**asked, **changes})


@dataclass
class Known:
    """A reservation as a caller last saw it."""

    reservation_id: str
    rev: int
    status: str


@dataclass(frozen=True)
class Request:
    """A write over REST, with the key under which it may be repeated."""

    kind: str
    method: str
    path: str
    body: Json | None
    key: str
    reservation_id: str | None = None
    expected_rev: int | None = None

    @property
    def command_id(self) -> UUID:
        """Return the id of the command that the gateway makes of it."""
        return uuid5(IDEMPOTENCY_NAMESPACE, f"{ANONYMOUS} {self.key}")


@dataclass
class Load:
    """All callers and producers of a round."""

    deployment: Deployment
    journal: Journal
    seed: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    pause_s: float = 0.0
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _give_up_at: float = float("inf")

    async def start(self) -> None:
        """Begin."""
        self._producer = AIOKafkaProducer(bootstrap_servers=self.deployment.kafka, acks="all", enable_idempotence=True)
        await self._producer.start()
        self._sends = Sends(self._producer, self.deployment.prefix, self.journal)
        for n in range(REST_CLIENTS):
            self._add(Caller(self, Chance(f"{self.seed} rest {n}"), self._sends).call)
        for lane in (COMMANDS, BULK):
            self._add(Teller(self, Chance(f"{self.seed} {lane}"), self._sends, lane).tell)

    def _add(self, act: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.ensure_future(act()))

    async def stop(self) -> None:
        """Ask nothing new, and wait until everything that was asked is answered or given up."""
        self._give_up_at = monotonic() + RESOLVE_LIMIT_S
        self.stopping.set()
        await asyncio.gather(*self._tasks)
        await self._sends.all_settled()
        await self._producer.stop()

    async def probe(self, number: int) -> None:
        """Book until that is answered; return when it is."""
        prober = Caller(self, Chance(f"{self.seed} probe {number}"), self._sends)
        await prober.book()

    async def pause(self, pause_s: float) -> None:
        """Wait, less long when the load stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), pause_s)

    @property
    def is_over(self) -> bool:
        """Whether even what was not answered is given up."""
        return monotonic() > self._give_up_at


class Sends:
    """Messages on their way to the broker, noted when they are sent and when they are accepted."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, journal: Journal) -> None:
        self._producer = producer
        self._prefix = prefix
        self._journal = journal
        self._open: set[asyncio.Future[Any]] = set()

    async def message(self, topic: str, message: Json) -> None:
        """Send a command or a payment."""
        command_id, payload = message_id(message), message.get("payload", {})
        self._journal.note(
            "sent",
            command_id=command_id,
            lane=LANE_NAMES[topic],
            kind=message.get("type", "payment.record"),
            reservation_id=message.get("reservation_id"),
            expected_rev=message.get("expected_rev"),
            seats=payload.get("party_size"),
        )
        await self._send(
            topic, key_of(message), json.dumps(message).encode(), [], ("accepted", {"command_id": command_id})
        )

    async def poison(self, topic: str, key: bytes, value: bytes) -> None:
        """Send what is no command."""
        headers = [("made-by", b"\x00faults\xff"), ("empty", b"")]
        said = {"lane": LANE_NAMES[topic], "key": key.hex(), "value": value.hex()}
        self._journal.note("poison", **said)
        await self._send(topic, key, value, headers, ("poison_accepted", said))

    async def _send(
        self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], when_accepted: tuple[str, Json]
    ) -> None:
        what, said = when_accepted

        def note(done: "asyncio.Future[Any]") -> None:
            self._open.discard(done)
            if not done.cancelled() and done.exception() is None:
                self._journal.note(what, **said)

        sent = asyncio.ensure_future(self._producer.send_and_wait(self._prefix + topic, value, key, headers=headers))
        self._open.add(sent)
        sent.add_done_callback(note)
        await asyncio.sleep(0)  # the order of the calls is that of the messages

    async def all_settled(self) -> None:
        """Wait until the broker has accepted or lost every message."""
        while self._open:
            await asyncio.wait(set(self._open))


class Caller:
    """A careful caller over REST: repeats under the same key what was not answered, and reads what it wrote."""

    def __init__(self, load: Load, chance: Chance, sends: Sends) -> None:
        self._load = load
        self._chance = chance
        self._sends = sends
        self._known: list[Known] = []

    async def call(self) -> None:
        """Ask one thing after the other until the load stops."""
        while not self._load.stopping.is_set():
            if self._known and self._chance.hits(0.6):
                await self._change(self._chance.choice(self._known))
            else:
                await self.book()
            if self._load.pause_s:
                await self._load.pause(self._load.pause_s)

    async def book(self) -> None:
        """Make a reservation, and pay for it where it waits for that."""
        body = booking(self._chance)
        made = await self._perform(self._request("reservation.create", "POST", "/reservations", body))
        if made and made["status"] == "PENDING":
            payment = a_payment(made["id"], body["total_amount"], **payment_ids(self._chance))
            await self._sends.message(PAYMENTS, payment)

    async def _change(self, known: Known) -> None:
        stale = self._chance.hits(STALE)
        rev = known.rev + (1 if known.rev == 1 else -1) if stale else known.rev
        changes = [self._update, self._cancel, self._join, *[self._move] * 3]
        request = self._chance.choice(changes)(known, rev)
        answer = await self._perform(request)
        if answer is None and not stale:
            self._known.remove(known)  # somebody else, as a payment, changed it

    def _move(self, known: Known, rev: int) -> Request:
        target = self._chance.choice(MOVES.get(known.status, ("CANCELLED",)))
        body = {"target_status": target, "_rev": rev}
        return self._request(
            "reservation.transition", "PUT", f"/reservations/{known.reservation_id}/status", body, known, rev
        )

    def _update(self, known: Known, rev: int) -> Request:
        change = self._chance.choice(
            [
                {"party_size": self._chance.randint(1, 4)},
                {"trip_date": str(hot_date() + timedelta(days=self._chance.randint(61, 99)))},
                {"special_requirements": "Vegan meals"},
            ]
        )
        body = {**change, "_rev": rev}
        return self._request("reservation.update", "PATCH", f"/reservations/{known.reservation_id}", body, known, rev)

    def _cancel(self, known: Known, _: int) -> Request:
        path = f"/reservations/{known.reservation_id}?reason=WEATHER"
        return self._request("reservation.cancel", "DELETE", path, None, known)

    def _join(self, known: Known, _: int) -> Request:
        body = {"guest_id": str(self._chance.uuid()), "role": "COMPANION"}
        path = f"/reservations/{known.reservation_id}/participants"
        return self._request("participant.add", "POST", path, body, known)

    def _request(
        self, kind: str, method: str, path: str, body: Json | None, known: Known | None = None, rev: int | None = None
    ) -> Request:
        return Request(kind, method, path, body, str(self._chance.uuid()), known and known.reservation_id, rev)

    async def _perform(self, request: Request) -> Json | None:
        """Ask until there is an answer, and now and then once more; return it if it is a success."""
        self._load.journal.note(
            "sent",
            command_id=request.command_id,
            lane="rest",
            kind=request.kind,
            reservation_id=request.reservation_id,
            expected_rev=request.expected_rev,
            seats=(request.body or {}).get("party_size") if request.kind == "reservation.create" else None,
        )
        twice = self._chance.hits(DUPLICATES)
        answers = await asyncio.gather(*(self._insist(request) for _ in range(2 if twice else 1)))
        answer = answers[0]
        if answer:
            await self._remember(request, answer)
        return answer

    async def _insist(self, request: Request) -> Json | None:
        while not self._load.is_over:
            status, body = await self._ask(request.method, request.path, request.body, request.key)
            self._note(request, status, body)
            if status in (200, 201):
                return body
            if status in FINAL_REFUSALS:
                return None
            await asyncio.sleep(RETRY_PAUSE_S)
        return None

    def _note(self, request: Request, status: int, body: Json) -> None:
        joined = request.kind == "participant.add"
        self._load.journal.note(
            "answer",
            command_id=request.command_id,
            status=status,
            code=body.get("error"),
            reservation_id=request.reservation_id if joined else body.get("id"),
            rev=body.get("rev_by_etag") if joined else body.get("_rev"),
        )

    async def _remember(self, request: Request, answer: Json) -> None:
        reservation_id, rev = request.reservation_id or answer["id"], answer.get("_rev") or answer["rev_by_etag"]
        known = next((each for each in self._known if each.reservation_id == reservation_id), None)
        if known is None:
            known = Known(reservation_id, rev, answer["status"])
            self._known.append(known)
        known.rev, known.status = rev, answer.get("status", known.status)
        if self._chance.hits(READS):
            await self._read(known)

    async def _read(self, known: Known) -> None:
        status, body = await self._ask("GET", f"/reservations/{known.reservation_id}", None, None)
        self._load.journal.note(
            "read",
            reservation_id=known.reservation_id,
            answered_rev=known.rev,
            status=status,
            seen_rev=body.get("_rev"),
        )

    async def _ask(self, method: str, path: str, body: Json | None, key: str | None) -> tuple[int, Json]:
        deployment = self._load.deployment
        headers = {"Idempotency-Key": key} if key else {}
        limit = aiohttp.ClientTimeout(total=REQUEST_LIMIT_S)
        try:
            async with deployment.session.request(
                method, deployment.gateway_url + path, json=body, headers=headers, timeout=limit
            ) as response:
                answer: Json = await response.json()
                answer["rev_by_etag"] = _rev_of(response.headers.get("ETag"))
                return response.status, answer
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}


def _rev_of(tag: str | None) -> int | None:
    return int(tag.strip('"')) if tag else None


def payment_ids(chance: Chance) -> Json:
    """Return the ids of a payment."""
    return {"event_id": str(chance.uuid()), "payment_id": f"pay-{chance.uuid()}"}


class Teller:
    """A producer that tells stories: a booking, its payments, and changes to it right behind, in one lane."""

    def __init__(self, load: Load, chance: Chance, sends: Sends, lane: str) -> None:
        self._load = load
        self._chance = chance
        self._sends = sends
        self._lane = lane

    async def tell(self) -> None:
        """Tell one story after the other until the load stops."""
        while not self._load.stopping.is_set():
            for topic, message in self._shuffled(self._story()):
                await self._sends.message(topic, message)
                if self._chance.hits(POISON):
                    await self._sends.poison(*self._poison(message))
                if self._chance.hits(DUPLICATES):
                    await self._sends.message(topic, message)
            await self._load.pause(STORY_PAUSE_S + 5 * self._load.pause_s)

    def _story(self) -> list[tuple[str, Json]]:
        body = booking(self._chance)
        reservation_id = self._chance.reservation_id()
        story = [(self._lane, self._command("reservation.create", body, reservation_id))]
        if body.get("awaiting_payment"):
            payments = self._payments(reservation_id, body["total_amount"])
            story = [*payments, *story] if self._chance.hits(EARLY) else [*story, *payments]
        return [*story, *((self._lane, change) for change in self._changes(reservation_id))]

    def _payments(self, reservation_id: str, amount: float) -> list[tuple[str, Json]]:
        currency = "EUR" if self._chance.hits(WRONG_CURRENCY) else "USD"
        paid = [a_payment(reservation_id, amount, currency=currency, **payment_ids(self._chance))]
        if self._chance.hits(REFUNDED):
            paid.append(a_payment(reservation_id, amount, status="REFUNDED", **payment_ids(self._chance)))
        return [(PAYMENTS, each) for each in paid]

    def _changes(self, reservation_id: str) -> list[Json]:
        kinds: list[tuple[str, Json]] = [
            ("reservation.update", {"party_size": self._chance.randint(1, 4)}),
            ("participant.add", {"guest_id": str(self._chance.uuid())}),
            ("reservation.transition", {"target_status": self._chance.choice(["GEAR_ASSIGNED", "CHECKED_IN"])}),
            ("reservation.cancel", {"reason": "WEATHER"}),
        ]
        chosen = kinds[: self._chance.randint(0, len(kinds))]
        return [
            self._command(kind, payload, reservation_id, self._expected(rev))
            for rev, (kind, payload) in enumerate(chosen, start=1)
        ]

    def _expected(self, rev: int) -> int | None:
        if self._chance.hits(STALE):
            return rev + 7
        return rev if self._chance.hits(0.3) else None

    def _command(self, kind: str, payload: Json, reservation_id: str, expected_rev: int | None = None) -> Json:
        more = {"expected_rev": expected_rev} if expected_rev else {}
        return a_command(kind, payload, command_id=str(self._chance.uuid()), reservation_id=reservation_id, **more)

    def _shuffled(self, story: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
        if len(story) > 1 and self._chance.hits(OUT_OF_ORDER):
            at = self._chance.randrange(len(story) - 1)
            story[at], story[at + 1] = story[at + 1], story[at]
        return story

    def _poison(self, message: Json) -> tuple[str, bytes, bytes]:
        """Return what can't be understood, under the key of what can, in one of the lanes."""
        value = self._chance.choice(
            [
                self._chance.randbytes(self._chance.randint(1, 300)),
                json.dumps(message).encode()[:-9],
                b'{"type": "reservation.burn", "command_id": "' + str(self._chance.uuid()).encode() + b'"}',
                json.dumps({"payload": {}, "note": str(self._chance.uuid())}).encode(),
            ]
        )
        return self._chance.choice([self._lane, PAYMENTS]), key_of(message), value
