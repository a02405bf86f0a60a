"""Months: which one a row goes to, how they are made, and that queries look only at theirs."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from reservations.models.identifiers import confirmation_code, kin_of, kin_range, time_of, unix_ms, uuid7
from reservations.tables.partitions import ensure_months, month_after, months, months_ahead
from tests.databases import Connection
from tests.integration.reservation_rows import insert, insert_reservation, reservation_row

MILLISECOND = timedelta(milliseconds=1)
BOUNDARIES = [
    datetime(2026, 12, 1, tzinfo=UTC),
    datetime(2027, 1, 1, tzinfo=UTC),
    datetime(2028, 2, 1, tzinfo=UTC),
    datetime(2028, 3, 1, tzinfo=UTC),
    datetime(2080, 3, 1, tzinfo=UTC),
]


def suffix(instant: datetime) -> str:
    """Return how the partitions of an instant's month end."""
    return instant.strftime("_%Y_%m")


async def make_month(connection: Connection, instant: datetime) -> None:
    """Make the partitions of an instant's month."""
    await ensure_months(connection, ahead=0, today=instant.date())


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
async def test_the_last_and_the_first_millisecond_go_to_their_own_months(
    connection: Connection, boundary: datetime
) -> None:
    for made_at in (boundary - MILLISECOND, boundary):
        await make_month(connection, made_at)
        reservation = reservation_row(made_at)
        reservation_id = reservation["reservation_id"]
        assert await insert(connection, "reservations", reservation) == "reservations" + suffix(made_at)
        participant = {"participant_id": kin_of(reservation_id, 0), "reservation_id": reservation_id}
        participant |= {"guest_id": uuid4(), "created_at": made_at}
        assert await insert(connection, "participants", participant) == "participants" + suffix(made_at)
        entry = {"history_id": kin_of(reservation_id, 0), "reservation_id": reservation_id}
        entry |= {"new_status": "confirmed", "changed_by": "test"}
        assert await insert(connection, "status_history", entry) == "status_history" + suffix(made_at)


async def test_a_row_of_a_month_that_does_not_exist_is_refused(connection: Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="no partition of relation"):
        await insert_reservation(connection, datetime(2019, 7, 1, tzinfo=UTC))


async def test_created_at_lies_in_the_month_of_the_id(connection: Connection) -> None:
    boundary = BOUNDARIES[0]
    await make_month(connection, boundary)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await insert(connection, "reservations", reservation_row(boundary, created_at=boundary - MILLISECOND))
    assert refusal.value.constraint_name == "reservations_created_in_month"


async def test_a_confirmation_code_is_unique_within_its_month(connection: Connection) -> None:
    now = datetime.now(UTC)
    code = confirmation_code(now)
    await insert(connection, "reservations", reservation_row(now, confirmation_code=code))
    with pytest.raises(asyncpg.UniqueViolationError) as refusal:
        await insert(connection, "reservations", reservation_row(now, confirmation_code=code))
    assert refusal.value.constraint_name == "idx_res_confirmation" + suffix(now)


async def test_a_confirmation_code_belongs_to_one_month_only(connection: Connection) -> None:
    before, after = BOUNDARIES[0] - MILLISECOND, BOUNDARIES[0]
    await ensure_months(connection, ahead=1, today=before.date())
    for made_at, other in ((before, after), (after, before)):
        row = reservation_row(made_at, confirmation_code=confirmation_code(other))
        with pytest.raises(asyncpg.CheckViolationError) as refusal:
            await insert(connection, "reservations", row)
        assert refusal.value.constraint_name == "reservations_code_of_month"


async def test_a_participant_stays_with_a_reservation_of_its_month(connection: Connection) -> None:
    reservation_id = await insert_reservation(connection, datetime.now(UTC))
    stranger = uuid7(unix_ms(datetime.combine(month_after(datetime.now(UTC).date(), 1), datetime.min.time(), UTC)))
    row = {"participant_id": stranger, "reservation_id": reservation_id, "guest_id": uuid4()}
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refusal:
        await insert(connection, "participants", row | {"created_at": datetime.now(UTC)})
    assert refusal.value.constraint_name == "participants_reservation_id_fkey"


async def test_the_database_reads_ids_as_the_service_writes_them(catalog: Connection) -> None:
    for instant in [b + offset for b in BOUNDARIES for offset in (-MILLISECOND, timedelta(0), 999 * MILLISECOND)]:
        uuid = uuid7(unix_ms(instant))
        assert await catalog.fetchval("SELECT reservations.uuid7_time($1)", uuid) == time_of(uuid) == instant
        just_before_the_next = instant + timedelta(microseconds=999)
        floor = await catalog.fetchval("SELECT reservations.uuid7_floor($1)", just_before_the_next)
        assert floor == kin_range(uuid, uuid)[0]


async def test_the_database_and_the_service_agree_on_every_month_of_a_code(catalog: Connection) -> None:
    firsts = [month_after(date(2000, 1, 1), distance) for distance in range(1024)]
    rows = await catalog.fetch("SELECT reservations.month_code(unnest($1::date[])) AS code", firsts)
    of_service = [confirmation_code(datetime(first.year, first.month, 1, tzinfo=UTC))[:2] for first in firsts]
    assert [row["code"] for row in rows] == of_service
    assert len(set(of_service)) == 1024


@pytest.mark.parametrize("outside", [date(1999, 12, 31), date(2085, 5, 1)])
async def test_a_month_that_no_code_can_name_is_refused(catalog: Connection, outside: date) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="outside 2000-01 to 2085-04"):
        await ensure_months(catalog, ahead=0, today=outside)


async def test_months_are_made_once_and_counted_until_the_first_gap(connection: Connection) -> None:
    today = date(2030, 12, 15)
    assert await months_ahead(connection, today) == -1
    assert await ensure_months(connection, 1, today) == [date(2030, 12, 1), date(2031, 1, 1)]
    assert await ensure_months(connection, 2, today) == [date(2031, 2, 1)]
    assert await ensure_months(connection, 2, today) == []
    await ensure_months(connection, 0, date(2031, 4, 1))
    assert await months_ahead(connection, today) == 2
    assert [month for month in await months(connection) if month.year > 2029] == [
        date(2030, 12, 1),
        date(2031, 1, 1),
        date(2031, 2, 1),
        date(2031, 4, 1),
    ]


async def test_a_migrated_database_has_this_month_and_three_more(catalog: Connection) -> None:
    today = datetime.now(UTC).date()
    assert await months(catalog) == [month_after(today, distance) for distance in range(4)]
    assert await months_ahead(catalog) == 3


async def test_months_are_utc_whatever_the_session_says(connection: Connection) -> None:
    await connection.execute("SET timezone = 'Pacific/Auckland'")
    await test_the_last_and_the_first_millisecond_go_to_their_own_months(connection, BOUNDARIES[3])


async def test_a_writer_makes_months_and_uses_them(database: str) -> None:
    writer = await asyncpg.connect(database, server_settings={"role": "reservations_writer"})
    assert await ensure_months(writer, 0, date(2031, 5, 1)) == [date(2031, 5, 1)]
    await insert_reservation(writer, datetime(2031, 5, 31, tzinfo=UTC))
    await writer.close()


async def test_a_month_is_retired_without_loss_to_the_others(connection: Connection) -> None:
    await ensure_months(connection, 0, date(2025, 1, 1))
    reservation_id = await insert_reservation(connection, datetime(2025, 1, 1, tzinfo=UTC))
    for table in ("participants", "status_history", "reservations"):
        leaf = f"reservations.{table}_2025_01"
        await connection.execute(f"ALTER TABLE reservations.{table} DETACH PARTITION {leaf} CONCURRENTLY")
    assert date(2025, 1, 1) not in await months(connection)
    assert await connection.fetchval("SELECT reservation_id FROM reservations.reservations_2025_01") == reservation_id
    with pytest.raises(asyncpg.DuplicateTableError):
        await ensure_months(connection, 0, date(2025, 1, 1))


async def test_a_month_that_is_halfway_retired_is_counted_no_more(database: str, connection: Connection) -> None:
    this_month, *coming = await months(connection)
    leaf = "reservations.participants" + this_month.strftime("_%Y_%m")
    reader = await asyncpg.connect(database)
    async with reader.transaction():
        await reader.execute("SELECT FROM reservations.participants")
        await connection.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await connection.execute(f"ALTER TABLE reservations.participants DETACH PARTITION {leaf} CONCURRENTLY")
    assert await months(connection) == coming
    assert await months_ahead(connection) == -1
    await reader.close()


async def test_two_processes_make_the_same_months_at_once(database: str) -> None:
    connections = [await asyncpg.connect(database) for _ in range(2)]
    made = await asyncio.gather(*(ensure_months(each, 5, date(2032, 1, 1)) for each in connections))
    assert sorted(made[0] + made[1]) == [month_after(date(2032, 1, 1), distance) for distance in range(6)]
    for each in connections:
        await each.close()


async def test_a_month_is_made_beside_writes_that_go_on(database: str, connection: Connection) -> None:
    writer = await asyncpg.connect(database, server_settings={"lock_timeout": "200ms"})
    async with writer.transaction():
        await insert_reservation(writer, datetime.now(UTC))
        async with connection.transaction():
            assert await ensure_months(connection, 0, date(2031, 1, 1)) == [date(2031, 1, 1)]
            await insert_reservation(writer, datetime.now(UTC))
            assert await writer.execute("UPDATE reservations.reservations SET _rev = 2") == "UPDATE 2"
    await writer.close()


async def test_a_month_that_cannot_be_attached_gives_up_soon(database: str, connection: Connection) -> None:
    other = await asyncpg.connect(database)
    async with other.transaction():
        await other.execute("LOCK TABLE reservations.reservations IN SHARE UPDATE EXCLUSIVE MODE")
        started = asyncio.get_running_loop().time()
        with pytest.raises(asyncpg.LockNotAvailableError):
            await asyncio.wait_for(ensure_months(connection, 0, date(2031, 1, 1)), timeout=10)
        assert 1.9 < asyncio.get_running_loop().time() - started < 5
    assert await ensure_months(connection, 0, date(2031, 1, 1)) == [date(2031, 1, 1)]
    await other.close()


def scanned(plan: Any) -> Iterator[str]:
    """Yield the names of the tables that a plan reads."""
    if isinstance(plan, list):
        for part in plan:
            yield from scanned(part)
    elif isinstance(plan, dict):
        if "Relation Name" in plan:
            yield plan["Relation Name"]
        for part in plan.values():
            yield from scanned(part)


async def tables_read(connection: Connection, query: str, types: str, arguments: str, plan_kind: str) -> set[str]:
    """Return the tables that a prepared query reads with a custom or a generic plan."""
    await connection.execute(f"SET plan_cache_mode = force_{plan_kind}_plan")
    await connection.execute(f"PREPARE query ({types}) AS {query}")
    plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE query ({arguments})")
    await connection.execute("DEALLOCATE query")
    return set(scanned(json.loads(plan)))


@pytest.mark.parametrize("plan_kind", ["custom", "generic"])
@pytest.mark.parametrize(
    ("table", "condition"),
    [
        ("reservations", "reservation_id = $1"),
        ("reservations", "reservation_id BETWEEN $2 AND $3"),
        ("reservations", "reservation_id = ANY (ARRAY[$1]) AND reservation_id BETWEEN $2 AND $3"),
        ("participants", "reservation_id = $1 AND participant_id BETWEEN $2 AND $3"),
        ("status_history", "reservation_id = $1 AND history_id BETWEEN $2 AND $3"),
        (
            "reservations",
            "reservation_id >= reservations.uuid7_floor(reservations.uuid7_time($1)) AND reservation_id <= $3",
        ),
    ],
)
async def test_ids_lead_to_one_month(catalog: Connection, table: str, condition: str, plan_kind: str) -> None:
    now = datetime.now(UTC)
    uuid = uuid7(unix_ms(now))
    arguments = ", ".join(f"'{each}'" for each in (uuid, *kin_range(uuid, uuid)))
    query = f"SELECT FROM reservations.{table} WHERE {condition}"
    assert await tables_read(catalog, query, "uuid, uuid, uuid", arguments, plan_kind) == {table + suffix(now)}


async def test_a_confirmation_code_or_a_date_of_reservation_leads_to_one_month(catalog: Connection) -> None:
    now = datetime.now(UTC)
    expected = {"reservations" + suffix(now)}
    query = "SELECT FROM reservations.reservations WHERE confirmation_code = $1"
    assert await tables_read(catalog, query, "text", f"'{confirmation_code(now)}'", "custom") == expected
    query = "SELECT FROM reservations.reservations WHERE created_at = $1"
    assert await tables_read(catalog, query, "timestamptz", f"'{now}'", "custom") == expected


async def test_without_a_range_of_ids_every_month_is_read(catalog: Connection) -> None:
    query = "SELECT FROM reservations.participants WHERE reservation_id = $1"
    read = await tables_read(catalog, query, "uuid", f"'{UUID(int=0)}'", "generic")
    assert len(read) == 4
