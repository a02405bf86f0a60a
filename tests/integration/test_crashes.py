"""Processes that die under load: what was accepted is there, once, in order, and told of completely."""

import asyncio
import json
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import pytest
from aiokafka import ConsumerRecord

from reservations.http.writes import IDEMPOTENCY_NAMESPACE
from reservations.models.access import ANYBODY
from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.topics import BULK_COMMANDS, COMMANDS, CREATED, RESULTS, STATUS_CHANGED
from tests.bookings import a_booking, a_command, decoded, send_commands
from tests.conditions import eventually
from tests.databases import Connection
from tests.own_service import QUICK
from tests.service import Service

SEED = 20270612
PATIENT = {**QUICK, "COMMAND_TIMEOUT_S": "8"}
MOVES = {"CONFIRMED": "GEAR_ASSIGNED", "GEAR_ASSIGNED": "CONFIRMED"}
REST_CLIENTS = 4
PAUSE_S = 0.005  # of a load that shall be steady, not a flood

ROWS = """
SELECT r.reservation_id, r.guest_id, r.status, r._rev, r.confirmation_code, r.party_size
FROM reservations.reservations AS r"""
HISTORY = """
SELECT history_id, reservation_id, old_status, new_status, (details ->> '_rev')::int AS rev
FROM reservations.status_history ORDER BY 2, 5"""
INBOX = "SELECT message_id, reservation_id, kind, outcome FROM reservations.inbox"


@dataclass(slots=True)
class Load:
    """Callers at work: what they sent, and what of it was accepted."""

    service: Service
    chance: random.Random
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    sent: set[UUID] = field(default_factory=set)
    accepted: set[UUID] = field(default_factory=set)
    answers: list[tuple[int, Any]] = field(default_factory=list)

    async def call(self) -> None:
        """Book over REST, and move what was booked to and fro."""
        made: list[dict[str, Any]] = []
        while not self.stopping.is_set():
            if made and self.chance.random() < 0.6:
                answer = await self._move(made.pop(self.chance.randrange(len(made))))
            else:
                answer = await self._ask("POST", "/reservations", json=a_booking())
            made += [answer] if "_rev" in answer else []

    async def _move(self, reservation: dict[str, Any]) -> dict[str, Any]:
        body = {"target_status": MOVES[reservation["status"]], "_rev": reservation["_rev"]}
        return await self._ask("PUT", f"/reservations/{reservation['id']}/status", json=body)

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        key = str(uuid4())
        command_id = uuid5(IDEMPOTENCY_NAMESPACE, f"{ANYBODY.name} {key}")
        self.sent.add(command_id)
        status, body, _ = await self.service.ask(method, path, headers={"Idempotency-Key": key}, **options)
        self.answers.append((status, body))
        if status < 300 and status:
            self.accepted.add(command_id)
        answer: dict[str, Any] = body or {}
        return answer

    async def produce(self, topic: str) -> None:
        """Send bookings over Kafka, each with changes to it right behind."""
        while not self.stopping.is_set():
            creation = a_command("reservation.create", a_booking(), reservation_id=str(uuid7_now()))
            same = {"reservation_id": creation["reservation_id"]}
            commands = [
                creation,
                a_command("reservation.update", {"party_size": 3}, **same, expected_rev=1),
                a_command("participant.add", {"guest_id": str(uuid4())}, **same),
                a_command("reservation.transition", {"target_status": "CHECKED_IN"}, **same),
                a_command("reservation.cancel", {"reason": "WEATHER"}, **same, expected_rev=4),
            ]
            self.sent |= {UUID(each["command_id"]) for each in commands}
            await send_commands(self.service, *commands, topic=topic)
            self.accepted |= {UUID(each["command_id"]) for each in commands}
            await asyncio.wait([asyncio.ensure_future(self.stopping.wait())], timeout=PAUSE_S)


def uuid7_now() -> UUID:
    """Return an id for a reservation made now."""
    return uuid7(unix_ms(datetime.now(UTC)))


@asynccontextmanager
async def under_load(service: Service) -> AsyncIterator[Load]:
    """Give a load that runs until the block ends."""
    load = Load(service, random.Random(SEED))  # noqa: S311  # repeatable, not secret
    callers = [load.call() for _ in range(REST_CLIENTS)]
    producers = [load.produce(topic) for topic in (COMMANDS.name, BULK_COMMANDS.name)]
    tasks = [asyncio.create_task(each) for each in (*callers, *producers)]
    try:
        yield load
    finally:
        load.stopping.set()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def connected(service: Service) -> AsyncIterator[Connection]:
    """Give a connection to the service's database, as its owner."""
    connection = await asyncpg.connect(service.database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def handled_more(connection: Connection, count: int) -> None:
    """Wait until so many more commands were handled."""
    before = await connection.fetchval("SELECT count(*) FROM reservations.inbox")

    async def look() -> bool:
        handled: int = await connection.fetchval("SELECT count(*) FROM reservations.inbox")
        return bool(handled >= before + count)

    await eventually(look, limit_s=60, every_s=0.002)


async def all_handled(connection: Connection, load: Load) -> None:
    """Wait until everything that was accepted is handled."""

    async def nothing_missing() -> bool:
        rows = await connection.fetch("SELECT message_id FROM reservations.inbox")
        return load.accepted <= {row["message_id"] for row in rows}

    await eventually(nothing_missing, limit_s=60, every_s=0.1)


@pytest.mark.parametrize(("number", "rounds"), [(signal.SIGKILL, 3), (signal.SIGTERM, 1)], ids=["kill", "term"])
async def test_nothing_accepted_is_missing_or_done_twice_when_workers_end_under_load(
    own_service: Service, number: signal.Signals, rounds: int
) -> None:
    service, chance = replace(own_service, environment={**PATIENT, **own_service.environment}), random.Random(SEED)  # noqa: S311  # repeatable, not secret
    worker = service.launch("worker")
    await service.start("gateway")
    await service.ready(worker)
    async with connected(service) as connection:
        async with under_load(service) as load:
            for _ in range(rounds):
                await handled_more(connection, chance.randrange(50, 500))
                worker.send(number)
                assert await worker.ended() == (0 if number is signal.SIGTERM else -number)
                worker = service.launch("worker")
            await handled_more(connection, 100)
        await all_handled(connection, load)
        statuses = {status for status, _ in load.answers}
        assert statuses <= {200, 201, 202}, [body for status, body in load.answers if status >= 400 or not status]
        await check_tables(connection, load)
        await check_topics(service, connection)
    assert await worker.stop() == 0


async def check_tables(connection: Connection, load: Load) -> None:
    """Compare inbox, reservations and history with each other and with what was sent."""
    inbox = await connection.fetch(INBOX)
    rows = {row["reservation_id"]: row for row in await connection.fetch(ROWS)}
    assert load.accepted <= {entry["message_id"] for entry in inbox} <= load.sent
    outcomes = [json.loads(entry["outcome"]) for entry in inbox]
    assert {each["outcome"] for each in outcomes} == {"applied"}, [e["error"] for e in outcomes if e["error"]]
    revisions = defaultdict(list)
    for each in outcomes:
        revisions[UUID(each["reservation_id"])].append(each["reservation"]["_rev"])
    assert {key: sorted(revs) for key, revs in revisions.items()} == {
        key: list(range(1, row["_rev"] + 1)) for key, row in rows.items()
    }
    assert len({row["guest_id"] for row in rows.values()}) == len(rows)
    assert len({row["confirmation_code"] for row in rows.values()}) == len(rows)
    check_history(rows, await connection.fetch(HISTORY))


def check_history(rows: Mapping[UUID, Any], history: list[Any]) -> None:
    """See that the history explains every status, step by step."""
    status: dict[UUID, str] = {}
    for step in history:
        assert step["old_status"] == status.get(step["reservation_id"]), step
        assert (step["old_status"] is None) == (step["rev"] == 1), step
        status[step["reservation_id"]] = step["new_status"]
    assert status == {key: row["status"] for key, row in rows.items()}


async def check_topics(service: Service, connection: Connection) -> None:
    """See that every change was told: each event the same however often, first told in order; each result at all."""
    records = [*await service.read(CREATED.name), *await service.read(STATUS_CHANGED.name)]
    values: dict[str, set[bytes]] = defaultdict(set)
    for record in records:
        values[json.loads(record.value)["event_id"]].add(record.value)
    history = {str(row["history_id"]): row["rev"] for row in await connection.fetch(HISTORY)}
    assert values.keys() == history.keys()
    assert [event for event, told in values.items() if len(told) > 1] == []
    for order in first_told(records, history).values():
        assert order == sorted(order)
    handled = {str(row["message_id"]) for row in await connection.fetch(INBOX)}
    assert {result["command_id"] for result in decoded(await service.read(RESULTS.name))} == handled


def first_told(records: list[ConsumerRecord], history: Mapping[str, int]) -> Mapping[tuple[str, bytes], list[int]]:
    """Return the revisions of each reservation as each topic first told of them."""
    orders: dict[tuple[str, bytes], list[int]] = defaultdict(list)
    seen = set()
    for record in records:
        event_id = json.loads(record.value)["event_id"]
        if event_id not in seen:
            orders[record.topic, record.key].append(history[event_id])
        seen.add(event_id)
    return orders


async def test_every_request_is_answered_when_one_of_two_workers_and_of_two_gateways_die(own_service: Service) -> None:
    service = replace(own_service, environment={**PATIENT, **own_service.environment})
    workers = [service.launch("worker") for _ in range(2)]
    gateways = [service.launch("gateway") for _ in range(2)]
    for process in (*workers, *gateways):
        await service.ready(process)
    urls = [str(gateway.url()) for gateway in gateways]
    async with connected(service) as connection:
        asking = [asyncio.create_task(book_somewhere(service, urls, n)) for n in range(400)]
        await handled_more(connection, 50)
        await asyncio.gather(workers[0].kill(), gateways[0].kill())
        made = await asyncio.gather(*asking)
        shown = {each["guest_id"]: each["id"] for each in made}
        kept = await connection.fetch("SELECT guest_id, reservation_id FROM reservations.reservations")
    assert len(shown) == len(kept) == 400
    assert {str(row["guest_id"]): str(row["reservation_id"]) for row in kept} == shown
    assert [await process.stop() for process in (workers[1], gateways[1])] == [0, 0]


async def book_somewhere(service: Service, urls: list[str], n: int) -> dict[str, Any]:
    """Book at one gateway, at the other when that one dies, until the reservation is known; return it."""
    booking, key = a_booking(), {"Idempotency-Key": str(uuid4())}

    async def ask() -> Any:
        for url in (urls[n % 2], urls[1]):
            status, body, _ = await service.ask("POST", f"{url}/reservations", json=booking, headers=key)
            assert status in {0, 201, 202}, body
            if status == 201:
                assert body["guest_id"] == booking["guest_id"]
                return body
        return None

    reservation: dict[str, Any] = await eventually(ask, limit_s=60)
    return reservation
