"""`reservations forget-guest`: what is personal goes, the books stay, beside running workers and after a crash."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import date, timedelta
from itertools import chain
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from reservations.agents.engine import Engine
from reservations.agents.months import BookableMonths
from reservations.app.audit import audit_slots
from reservations.app.forgetting import forget_guest
from reservations.app.settings import Settings
from reservations.models.commands import COMMANDS as COMMAND_TYPES
from reservations.models.eligibility import Surroundings
from reservations.models.payments import PaymentProcessed
from reservations.models.steps import Rules
from reservations.models.topics import COMMANDS
from reservations.models.worksheet import Outcome
from tests.bookings import a_booking, a_command, a_payment, encoded, new_reservation_id
from tests.databases import Connection
from tests.service import run

Json = dict[str, Any]
Apply = Callable[..., Awaitable[list[Outcome]]]

CANARY = "cAnArY"
GUEST, OTHER = str(uuid4()), str(uuid4())
CONTACT = {"name": f"{CANARY} name", "phone": f"{CANARY} phone", "relationship": f"{CANARY} kin"}
TABLES = ("reservations", "participants", "status_history", "inbox", "audit_log")
BOOKS = """
SELECT reservation_id, guest_id, trip_id, confirmation_code, status, trip_date, party_size, total_amount, currency,
       created_at, details -> 'payments', details -> 'paid_amount'
FROM reservations.reservations ORDER BY 1"""
HISTORY = """
SELECT old_status, new_status, changed_by, reason
FROM reservations.status_history WHERE reservation_id = $1 ORDER BY (details ->> '_rev')::integer"""
ROWS = "SELECT t::text FROM reservations.{} AS t ORDER BY 1"
REVS = "SELECT reservation_id, _rev FROM reservations.reservations"
LOG = "SELECT actor, action, subject, details FROM reservations.audit_log"


def settings_for(database: str) -> Settings:
    """Return the settings of a process on a database."""
    return Settings(database_url=database)


@pytest.fixture
async def apply(database: str) -> AsyncIterator[Apply]:
    """Give an engine on the test's database, which takes commands and payments as they are sent."""
    async with asyncpg.create_pool(database, min_size=1, max_size=4) as pool:
        months = BookableMonths()
        await months.keep(pool)

        async def look_nowhere(_: object) -> Surroundings:
            return Surroundings()

        engine = Engine(pool, months, look_nowhere, Rules(), lane=COMMANDS.lane)

        async def apply_all(*messages: Json) -> list[Outcome]:
            return await engine.apply([_read(each) for each in messages])

        yield apply_all


def _read(message: Json) -> Any:
    if "event_id" in message:
        return PaymentProcessed.model_validate_json(encoded(message)).command()
    return COMMAND_TYPES.validate_json(encoded(message))


def a_personal_creation(day: str = "2027-06-12", guest: str = GUEST, **changes: Any) -> Json:
    """Return a command that makes a booking with all that is personal."""
    party = [{"guest_id": each, "medical_clearance": True} for each in (GUEST, OTHER)]
    booking = a_booking(
        guest_id=guest,
        trip_date=day,
        participants=party,
        special_requirements=f"{CANARY} wish",
        emergency_contact=CONTACT,
        **changes,
    )
    return a_command("reservation.create", booking, reservation_id=new_reservation_id())


def about(creation: Json, kind: str, payload: Json) -> Json:
    """Return a command about what another one makes."""
    return a_command(kind, payload, reservation_id=creation["reservation_id"])


def a_move(creation: Json, target: str, reason: str | None) -> Json:
    """Return a command that moves what another one makes, for a reason."""
    return about(creation, "reservation.transition", {"target_status": target, "reason": reason})


async def found(connection: Connection, text: str) -> list[str]:
    """Return the tables that hold a text."""
    query = "SELECT count(*) FROM reservations.{} AS t WHERE strpos(t::text, $1) > 0"
    return [table for table in TABLES if await connection.fetchval(query.format(table), text)]


async def shown(connection: Connection, reservation_id: str) -> Json:
    """Return the details of a reservation and who of its party is cleared, by guest."""
    query = """SELECT r.details, jsonb_object_agg(p.guest_id, p.details -> 'medical_clearance') AS cleared
               FROM reservations.reservations r JOIN reservations.participants p USING (reservation_id)
               WHERE reservation_id = $1 GROUP BY r.details"""
    row = await connection.fetchrow(query, reservation_id)
    assert row
    return {**json.loads(row["details"]), "cleared": json.loads(row["cleared"])}


async def test_what_is_personal_is_gone_everywhere_and_the_books_stay(
    apply: Apply, database: str, connection: Connection
) -> None:
    creation = a_personal_creation(awaiting_payment=True)
    early = a_payment(creation["reservation_id"], 398.0)
    moves = [a_move(creation, "CHECKED_IN", f"{CANARY} reason"), a_move(creation, "IN_PROGRESS", "WEATHER")]
    cleared = about(creation, "reservation.update", {"special_requirements": f"{CANARY} other wish"})
    messages = [early, creation, cleared, *moves]
    for message in messages:
        await apply(message)
    await apply(a_payment(new_reservation_id(), 5.0))  # one that waits
    assert await found(connection, CANARY) == ["reservations", "status_history", "inbox"]
    books = await connection.fetch(BOOKS)
    history = await connection.fetch(HISTORY, creation["reservation_id"])

    erased = await forget_guest(settings_for(database), UUID(GUEST), "the clerk")
    assert await found(connection, CANARY) == []
    assert (erased.reservations, erased.participants, erased.reasons) == (1, 1, 1)
    assert await connection.fetch(BOOKS) == books
    left = [(*row[:3], row[3] if row[3] and CANARY not in row[3] else None) for row in history]
    assert [tuple(row) for row in await connection.fetch(HISTORY, creation["reservation_id"])] == left
    assert [row[3] for row in left] == [None, "PAYMENT_COMPLETED", None, "WEATHER"]
    now = await shown(connection, creation["reservation_id"])
    assert (now["special_requirements"], now["emergency_contact"]) == (None, None)
    assert now["cleared"] == {GUEST: False, OTHER: True}
    assert await audit_slots(settings_for(database), repair=False) == []
    assert (await connection.fetch(REVS))[0]["_rev"] == 6


async def test_a_repeated_command_is_answered_from_what_is_left_and_brings_nothing_back(
    apply: Apply, database: str, connection: Connection
) -> None:
    creation = a_personal_creation(awaiting_payment=True)
    payment = a_payment(creation["reservation_id"], 398.0)
    move = a_move(creation, "CHECKED_IN", f"{CANARY} reason")
    first = [*await apply(payment), *await apply(creation), *await apply(move)]
    await forget_guest(settings_for(database), UUID(GUEST), "the clerk")
    rows = await connection.fetch(ROWS.format("inbox"))
    again = [*await apply(payment), *await apply(creation), *await apply(move)]
    assert all(each.replayed for each in again)
    assert [each.kind for each in again] == ["applied"] * 3
    told = [*(each.result or "" for each in all_of(again)), *texts(again)]
    assert [text for text in told if CANARY in text] == []
    assert {json.loads(each)["event_id"] for each in texts(first)} <= {
        json.loads(each)["event_id"] for each in texts(again)
    }
    assert await found(connection, CANARY) == []
    assert await connection.fetch(ROWS.format("inbox")) == rows


def all_of(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return outcomes and those of the payments that had waited for them."""
    return [*outcomes, *chain.from_iterable(each.released for each in outcomes)]


def texts(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the events that outcomes have published."""
    return [event.value for each in outcomes for event in each.announcements]


async def test_in_another_guests_booking_only_the_own_clearance_goes(
    apply: Apply, database: str, connection: Connection
) -> None:
    creation = a_personal_creation(guest=OTHER)
    await apply(creation)
    await apply(a_move(creation, "CHECKED_IN", f"{CANARY} reason"))
    await forget_guest(settings_for(database), UUID(GUEST), "the clerk")
    now = await shown(connection, creation["reservation_id"])
    assert now["cleared"] == {GUEST: False, OTHER: True}
    assert now["special_requirements"] == f"{CANARY} wish"
    outcomes = await connection.fetch("SELECT outcome FROM reservations.inbox")
    for row in outcomes:
        reservation = json.loads(row["outcome"])["reservation"]
        assert reservation["emergency_contact"] == CONTACT
        assert [each["medical_clearance"] for each in reservation["participants"]] == [False, True]
    assert await found(connection, f"{CANARY} reason") == ["status_history", "inbox"]


async def test_a_run_is_written_down_and_a_second_one_changes_nothing(
    apply: Apply, database: str, connection: Connection
) -> None:
    await apply(a_personal_creation())
    settings = settings_for(database)
    await forget_guest(settings, UUID(GUEST), "the clerk")
    revs = await connection.fetch(REVS)
    await forget_guest(settings, UUID(GUEST), "another")
    assert await connection.fetch(REVS) == revs
    log = [(*row[:3], json.loads(row[3])) for row in await connection.fetch(f"{LOG} ORDER BY at")]
    counts = {"finished": True, "reservations": 1, "participants": 1, "reasons": 0, "inbox_entries": 1}
    nothing = {**counts, "reservations": 0, "participants": 0, "inbox_entries": 0}
    assert log == [
        ("the clerk", "forget_guest", UUID(GUEST), counts),
        ("another", "forget_guest", UUID(GUEST), nothing),
    ]


async def test_a_dry_run_counts_the_same_and_leaves_everything_as_it_is(
    apply: Apply, database: str, connection: Connection
) -> None:
    await apply(a_personal_creation())
    rows = {table: await connection.fetch(ROWS.format(table)) for table in TABLES}
    dry = await forget_guest(settings_for(database), UUID(GUEST), "the clerk", dry_run=True)
    assert {table: await connection.fetch(ROWS.format(table)) for table in TABLES} == rows
    assert await forget_guest(settings_for(database), UUID(GUEST), "the clerk") == dry


async def many(apply: Apply, count: int) -> list[Json]:
    """Make bookings of the guest, each on a day of its own."""
    days = [(date(2027, 1, 1) + timedelta(days=number)).isoformat() for number in range(count)]
    creations = [a_personal_creation(day) for day in days]
    for start in range(0, count, 100):
        await apply(*creations[start : start + 100])
    return creations


class CrashError(Exception):
    """The process ends here."""


async def test_what_a_crash_left_is_erased_by_the_next_run_and_nothing_twice(
    apply: Apply, database: str, connection: Connection
) -> None:
    await many(apply, 30)

    def crash(kind: str, done: int, _: int) -> None:
        if (kind, done) in {("reservations", 20), ("inbox entries", 10)}:
            raise CrashError

    settings = settings_for(database)
    for _ in range(2):
        with pytest.raises(CrashError):
            await forget_guest(settings, UUID(GUEST), "the clerk", progress=crash, batch_size=10)
        crash = _crash_later
    assert await found(connection, CANARY) == ["inbox"]
    await forget_guest(settings, UUID(GUEST), "the clerk", batch_size=10)
    assert await found(connection, CANARY) == []
    assert {row["_rev"] for row in await connection.fetch(REVS)} == {2}
    finished = [json.loads(row["details"])["finished"] for row in await connection.fetch(f"{LOG} ORDER BY at")]
    assert finished == [False, False, True]


def _crash_later(kind: str, done: int, _: int) -> None:
    if (kind, done) == ("inbox entries", 10):
        raise CrashError


async def test_workers_at_work_on_the_same_reservations_lose_nothing(
    apply: Apply, database: str, connection: Connection
) -> None:
    creations = await many(apply, 150)
    ended = asyncio.Event()

    async def work(share: Sequence[Json]) -> int:
        rounds = 0
        while not ended.is_set() or not rounds:
            changes = [about(each, "reservation.update", {"party_size": 3 + rounds % 5}) for each in share]
            outcomes = await apply(*changes)
            assert {each.kind for each in outcomes} == {"applied"}
            rounds += 1
        return rounds

    async def forget() -> None:
        try:
            await forget_guest(settings_for(database), UUID(GUEST), "the clerk", batch_size=20)
        finally:
            ended.set()

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work(creations[start::3])) for start in range(3)]
        group.create_task(forget())
    assert await found(connection, CANARY) == []
    revs = {str(row["reservation_id"]): row["_rev"] for row in await connection.fetch(REVS)}
    for start, worker in enumerate(workers):
        # Made, changed once in each round, erased once.
        assert {revs[each["reservation_id"]] for each in creations[start::3]} == {worker.result() + 2}
    assert await audit_slots(settings_for(database), repair=False) == []


async def test_the_command_says_what_it_did(apply: Apply, database: str, connection: Connection) -> None:
    await apply(a_personal_creation())
    variables = {"DATABASE_URL": database, "LOGNAME": "someone"}
    code, told, _ = await run(variables, "forget-guest", GUEST, "--dry-run", "--json")
    assert code == 0
    assert json.loads(told)["reservations"] == 1
    code, told, progress = await run(variables, "forget-guest", GUEST)
    assert (code, told) == (0, "Erased from 1 reservations, 1 participants, 0 reasons, 1 inbox entries.\n")
    assert progress.splitlines() == ["reservations: 1 of 1", "inbox entries: 1 of 1"]
    assert [row["actor"] for row in await connection.fetch(LOG)] == ["someone"]


async def test_the_audit_log_is_only_added_to(database: str) -> None:
    writer = await asyncpg.connect(database, server_settings={"role": "reservations_writer"})
    row = "INSERT INTO reservations.audit_log (audit_id, actor, action) VALUES (gen_random_uuid(), 'w', 'test')"
    assert await writer.execute(row) == "INSERT 0 1"
    for statement in ("UPDATE reservations.audit_log SET actor = 'x'", "DELETE FROM reservations.audit_log"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.execute(statement)
    await writer.close()
