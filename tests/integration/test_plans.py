"""No statement that runs often reads a whole table, looks into more months than it must, or changes its plan."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from reservations.models.acting import ActingFor
from reservations.models.identifiers import kin_range, time_of
from reservations.models.vocabulary import Status
from reservations.tables import (
    due,
    guest_days,
    inbox,
    participants,
    reservations,
    search,
    status_history,
    trip_slots,
)
from reservations.tables.database import READER, WRITER
from reservations.tables.search import LOWEST, Filters, Search, Window
from tests.databases import Connection
from tests.integration.plans import Plans, plans_of

Arguments = Sequence[object]
BATCH = 60
INBOX = """
INSERT INTO reservations.inbox (message_id, kind, reservation_id, fingerprint, outcome)
SELECT (details ->> 'command_id')::uuid, 'reservation.create', reservation_id, history_id, '{"outcome": "applied"}'
FROM reservations.status_history ON CONFLICT DO NOTHING"""
PARKED = """
INSERT INTO reservations.inbox (message_id, kind, reservation_id, fingerprint, parked)
SELECT history_id, 'payment', reservation_id, history_id, '{}'
FROM reservations.status_history LIMIT 20 ON CONFLICT DO NOTHING"""
GUEST_DAYS = """
INSERT INTO reservations.guest_days (guest_id, trip_date, reservation_id)
SELECT history_id, changed_at, reservation_id FROM reservations.status_history ON CONFLICT DO NOTHING"""
NEWEST = """
SELECT r.*, ARRAY (SELECT participant_id FROM reservations.participants AS p
                   WHERE p.reservation_id = r.reservation_id) AS party,
       (SELECT (h.details ->> 'command_id')::uuid FROM reservations.status_history AS h
        WHERE h.reservation_id = r.reservation_id) AS command_id
FROM reservations.reservations AS r ORDER BY reservation_id DESC LIMIT $1"""


@pytest.fixture(scope="module")
async def filled(grown: str) -> AsyncIterator[str]:
    """Give the address of a database that has grown, its inbox too."""
    connection = await asyncpg.connect(grown)
    await connection.execute(INBOX)
    await connection.execute(PARKED)
    await connection.execute(GUEST_DAYS)
    await connection.execute("VACUUM (ANALYZE) reservations.inbox, reservations.guest_days")
    yield grown
    await connection.close()


@pytest.fixture(scope="module")
async def batch(filled: str) -> Sequence[Mapping[str, Any]]:
    """Give the newest reservations, as many as a batch may change, in the order of their ids."""
    connection = await asyncpg.connect(filled)
    rows = await connection.fetch(NEWEST, BATCH)
    await connection.close()
    return [dict(row) for row in rows[::-1]]


@pytest.fixture
async def writer(filled: str) -> AsyncIterator[Connection]:
    """Give a connection as the worker has it; what it does is rolled back."""
    connection = await asyncpg.connect(filled, server_settings=dict(WRITER))
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
async def reader(filled: str) -> AsyncIterator[Connection]:
    """Give a connection as the gateway has it."""
    connection = await asyncpg.connect(filled, server_settings=dict(READER))
    yield connection
    await connection.close()


class Given:
    """The arguments of statements, for a batch."""

    def __init__(self, batch: Sequence[Mapping[str, Any]]) -> None:
        self._batch = batch
        self.ids = self.all("reservation_id")
        self.span = self.ids[0], self.ids[-1]
        self.kin = kin_range(*self.span)
        self.days = self.all("guest_id"), self.all("trip_date")
        self.slots = self.all("trip_id"), self.all("trip_date")
        self.commands = self.all("command_id")
        self.party = sorted(each for row in batch for each in row["party"])

    def all(self, column: str) -> list[Any]:
        """Return a column of the batch."""
        return [row[column] for row in self._batch]

    def changed(self) -> Arguments:
        """Return what the worker writes over the rows of the batch."""
        names = ("status", "trip_date", "party_size", "total_amount", "_rev", "updated_at", "details")
        return (*self.span, self.ids, self.all("_rev"), *map(self.all, names))

    def none(self, value: object) -> list[object]:
        """Return the same for each of the batch."""
        return [value] * len(self.ids)


NOW = datetime.now(UTC)
WRITES: dict[str, tuple[str, Callable[[Given], Arguments]]] = {
    "inbox.of_messages": (inbox.SQL["of_messages"], lambda given: (given.commands,)),
    "inbox.waiting_for": (inbox.SQL["waiting_for"], lambda given: (given.ids,)),
    "inbox.waiting_since": (inbox.SQL["waiting_since"], lambda _: (NOW - timedelta(days=7), 100)),
    "inbox.answer": (
        inbox.SQL["answer"],
        lambda given: (given.commands, given.none("{}"), given.none("[]"), given.none(None)),
    ),
    "inbox.prune": (inbox.SQL["prune"], lambda _: (NOW - timedelta(days=90), 100)),
    "inbox.outcome_of": (inbox.SQL["outcome_of"], lambda given: (given.commands[0], "guest:somebody")),
    "reservations.lock": (reservations.SQL["lock"], lambda given: (given.ids, *given.span)),
    "reservations.booked": (reservations.SQL["booked"], lambda given: (given.ids, *given.span, *given.kin)),
    "reservations.update": (reservations.SQL["update"], Given.changed),
    "participants.of_reservations": (
        participants.SQL["of_reservations"],
        lambda given: (given.ids, *given.kin),
    ),
    "participants.update": (
        participants.SQL["update"],
        lambda given: (
            *given.kin,
            given.party,
            [True] * len(given.party),
            ["{}"] * len(given.party),
        ),
    ),
    "status_history.told_since": (
        status_history.SQL["told_since"],
        lambda given: (given.ids, given.none(1), *given.kin),
    ),
    "trip_slots.read": (trip_slots.SQL["read"], lambda given: given.slots),
    "trip_slots.lock": (trip_slots.SQL["lock"], lambda given: given.slots),
    "trip_slots.change": (
        trip_slots.SQL["change"],
        lambda given: (*given.slots, given.none(1), given.none(1), given.none(None)),
    ),
    "guest_days.held": (guest_days.SQL["held"], lambda given: given.days),
    "guest_days.free": (guest_days.SQL["free"], lambda given: (*given.days, given.ids)),
    "due.unpaid_holds": (due.SQL["unpaid_holds"], lambda _: (NOW, 100)),
    "due.no_shows": (due.SQL["no_shows"], lambda _: (NOW.date() - timedelta(days=1), 100)),
}
#: They ask for what may lie in any month.
EVERYWHERE = {"due.unpaid_holds", "due.no_shows"}


def months_of(plans: Plans, table: str) -> set[str]:
    """Return the months of a table that were looked into."""
    return {look.table for look in plans.looks if look.table.startswith(f"{table}_2")}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("mode", ["auto", "force_custom_plan", "force_generic_plan"])
async def test_what_the_worker_runs_reads_by_index_in_the_months_of_the_batch_only(
    writer: Connection, batch: Sequence[Mapping[str, Any]], name: str, mode: str
) -> None:
    await writer.execute(f"SET LOCAL plan_cache_mode = {mode}")
    given = Given(batch)
    sql, arguments = WRITES[name]
    plans = await plans_of(writer, sql, arguments(given))
    assert plans.looks, "it looks at nothing: the arguments are wrong"
    assert not read_whole(plans)
    if name not in EVERYWHERE:
        wanted = {f"{time_of(each):_%Y_%m}" for each in given.ids}
        for table in ("reservations", "participants", "status_history"):
            assert {month[-8:] for month in months_of(plans, table)} <= wanted
    if mode != "force_generic_plan":
        assert plans.later == plans.first


def read_whole(plans: Plans) -> set[str]:
    """Return the tables of which every row was read."""
    return {look.table for look in plans.looks if look.how == "Seq Scan"}


def searches(row: Mapping[str, Any]) -> Mapping[str, Filters]:
    """Return searches that are to find little, whichever reservation they are made for."""
    day, week = row["trip_date"], row["trip_date"] + timedelta(days=6)
    return {
        "guest": Filters(guest_id=row["guest_id"]),
        "guest unknown": Filters(guest_id=uuid4()),
        "own, of a guest": Filters(acting_for=ActingFor(guest_id=row["guest_id"])),
        "own, of a partner": Filters(acting_for=ActingFor(partner_id="nobody")),
        "own, of a partner, week": Filters(acting_for=ActingFor(partner_id="nobody"), start_date=day, end_date=week),
        "trip, month": Filters(trip_id=row["trip_id"], start_date=day, end_date=day + timedelta(days=30)),
        "status rare": Filters(status=Status.PENDING),
        "days": Filters(start_date=day, end_date=day + timedelta(days=1)),
        "size absent": Filters(party_size=400),
        "size, week": Filters(party_size=20, start_date=day, end_date=week),
        "status, week": Filters(status=Status.CANCELLED, start_date=day, end_date=week),
        "status, size": Filters(status=Status.CANCELLED, party_size=20),
        "code": Filters(confirmation_code=row["confirmation_code"]),
    }


@pytest.mark.parametrize(
    "name", searches({"trip_date": NOW.date(), "guest_id": uuid4(), "trip_id": 1, "confirmation_code": ""})
)
async def test_a_search_reads_by_index(reader: Connection, batch: Sequence[Mapping[str, Any]], name: str) -> None:
    found = Search(reader, searches(batch[0])[name])
    for statement in (
        found.shaped("gather", before=search.BEYOND, skip=0, wanted=21, at_most=None),
        found.shaped("gather", Window(LOWEST, search.BEYOND), skip=0, wanted=21, at_most=1_001),
        found.shaped("count", at_most=10_001),
    ):
        plans = await plans_of(reader, statement.sql, statement.arguments)
        assert not read_whole(plans), statement.sql
        assert (plans.later, plans.generic) == (plans.first, 0)


async def test_a_code_is_looked_for_in_its_month_only(reader: Connection, batch: Sequence[Mapping[str, Any]]) -> None:
    found = Search(reader, Filters(confirmation_code=batch[0]["confirmation_code"]))
    statement = found.shaped("count", at_most=10_001)
    plans = await plans_of(reader, statement.sql, statement.arguments)
    assert months_of(plans, "reservations") == {f"reservations{time_of(batch[0]['reservation_id']):_%Y_%m}"}


async def test_the_newest_are_read_in_the_order_of_their_ids(reader: Connection) -> None:
    for filters in (Filters(), Filters(status=Status.COMPLETED), Filters(party_size=1)):
        statement = Search(reader, filters).shaped(
            "glance", Window(LOWEST, search.BEYOND), looked_at=200, skip=0, wanted=21
        )
        plans = await plans_of(reader, statement.sql, statement.arguments)
        assert not read_whole(plans)
        assert len(months_of(plans, "reservations")) == 1


@pytest.mark.parametrize("name", ["find", "of_reservation", "rows"])
async def test_what_a_caller_names_is_read_in_its_month_only(
    reader: Connection, batch: Sequence[Mapping[str, Any]], name: str
) -> None:
    one: UUID = batch[0]["reservation_id"]
    low, high = kin_range(one, one)
    sql, arguments = {
        "find": (reservations.SQL["find"], (one, low, high, batch[0]["guest_id"], None)),
        "of_reservation": (status_history.SQL["of_reservation"], (one, low, high)),
        "rows": (search.SQL["rows"], ([one], [low], [high], low, high)),
    }[name]
    plans = await plans_of(reader, sql, arguments)
    month = f"{time_of(one):_%Y_%m}"
    assert {look.table[-8:] for look in plans.looks} == {month}
    assert not read_whole(plans)
    assert (plans.later, plans.generic) == (plans.first, 0)


async def test_the_guard_finds_a_table_that_is_read_whole_and_a_month_too_many(
    reader: Connection, batch: Sequence[Mapping[str, Any]]
) -> None:
    whole = await plans_of(reader, "SELECT FROM reservations.reservations WHERE total_amount = $1", [1])
    assert len(read_whole(whole)) == len(months_of(whole, "reservations"))
    ids = [row["reservation_id"] for row in batch]
    unbounded = "SELECT FROM reservations.participants WHERE reservation_id = ANY ($1::uuid[])"
    assert len(months_of(await plans_of(reader, unbounded, [ids]), "participants")) > 20


async def test_the_guard_finds_a_plan_that_changes(writer: Connection) -> None:
    rare = "SELECT FROM reservations.reservations WHERE status = $1 ORDER BY reservation_id DESC LIMIT 21"
    plans = await plans_of(writer, rare, ["unheard of"])
    assert plans.generic > 0
    assert plans.later != plans.first
