"""The tables are the documented ones, and each role can do its part and no more."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from reservations.models.identifiers import kin_of
from tests.databases import Connection
from tests.integration.reservation_rows import insert, reservation_row

PARTITIONED = {"reservations": "reservation_id", "participants": "participant_id", "status_history": "history_id"}
TABLES = (*PARTITIONED, "inbox", "trip_slots")
CHANGES = (
    "INSERT INTO reservations.{table} DEFAULT VALUES",
    "UPDATE reservations.{table} SET {column} = {column}",
    "SELECT * FROM reservations.{table} FOR UPDATE",
)
DELETIONS = ("DELETE FROM reservations.{table}", "TRUNCATE reservations.{table}")
REMODELLING = ("ALTER TABLE reservations.{table} ADD COLUMN extra integer", "DROP TABLE reservations.{table}")
DETAILS = ("details", "jsonb", "not null", "'{}'::jsonb")

# Name, type, null, default: in order.
DOCUMENTED_COLUMNS = {
    "reservations": [
        ("reservation_id", "uuid", "not null", None),
        ("guest_id", "uuid", "not null", None),
        ("trip_id", "uuid", "not null", None),
        ("confirmation_code", "character varying(12)", "not null", None),
        ("status", "character varying(20)", "not null", "'confirmed'::character varying"),
        ("trip_date", "date", "not null", None),
        ("party_size", "integer", "not null", None),
        ("total_amount", "numeric(10,2)", "not null", None),
        ("currency", "character(3)", "not null", "'USD'::bpchar"),
        ("_rev", "integer", "not null", "1"),
        ("created_at", "timestamp with time zone", "not null", None),
        ("updated_at", "timestamp with time zone", "not null", None),
        DETAILS,
    ],
    "participants": [
        ("participant_id", "uuid", "not null", None),
        ("reservation_id", "uuid", "not null", None),
        ("guest_id", "uuid", "not null", None),
        ("role", "character varying(20)", "not null", "'guest'::character varying"),
        ("waiver_signed", "boolean", "not null", "false"),
        ("created_at", "timestamp with time zone", "not null", None),
        DETAILS,
    ],
    "status_history": [
        ("history_id", "uuid", "not null", None),
        ("reservation_id", "uuid", "not null", None),
        ("old_status", "character varying(20)", "null", None),
        ("new_status", "character varying(20)", "not null", None),
        ("changed_by", "character varying(100)", "not null", None),
        ("reason", "text", "null", None),
        ("changed_at", "timestamp with time zone", "not null", "now()"),
        DETAILS,
    ],
}
DOCUMENTED_CONSTRAINTS = {
    "reservations": {"PRIMARY KEY (reservation_id)", "CHECK ((party_size > 0))"},
    "participants": {"PRIMARY KEY (participant_id)"},
    "status_history": {"PRIMARY KEY (history_id)"},
}
DOCUMENTED_INDEXES = {
    "reservations": {
        "idx_res_guest_date": "(guest_id, trip_date)",
        "idx_res_trip_date": "(trip_id, trip_date)",
        "idx_res_status": "(status)",
    },
    "participants": {"idx_part_reservation": "(reservation_id)", "idx_part_guest": "(guest_id)"},
    "status_history": {"idx_hist_reservation": "(reservation_id, changed_at DESC)"},
}


# What searches need besides: see 0008_searches.sql, 0009_callers.sql.
PARTNER = "(((details ->> 'partner_id'::text)), reservation_id) WHERE ((details ->> 'partner_id'::text) IS NOT NULL)"
FURTHER_INDEXES = {
    "reservations": {
        "idx_res_status_date": "(status, trip_date)",
        "idx_res_status_size_date": "(status, party_size, trip_date)",
        "idx_res_partner": PARTNER,
    },
}


def indexes_for(table: str) -> dict[str, str]:
    """Return the columns of each index that a table shall have."""
    return DOCUMENTED_INDEXES[table] | FURTHER_INDEXES.get(table, {})


async def columns_of(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    """Return name, type, null and default of each column, in order."""
    rows = await connection.fetch(
        """SELECT attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' ELSE 'null' END,
                  pg_get_expr(adbin, adrelid)
           FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
           WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
        f"reservations.{table}",
    )
    return [tuple(row) for row in rows]


async def constraints_of(connection: Connection, table: str, kinds: str = "cpufx") -> dict[str, str]:
    """Return the constraints of a table, by name; kinds are PostgreSQL's letters."""
    rows = await connection.fetch(
        """SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
           WHERE conrelid = $1::text::regclass AND strpos($2, contype::text) > 0""",
        f"reservations.{table}",
        kinds,
    )
    return {row["conname"]: row["definition"] for row in rows}


async def indexes_of(connection: Connection, table: str) -> dict[str, tuple[bool, str]]:
    """Return whether each index of a table is unique, and its columns, by name; without the primary key's."""
    rows = await connection.fetch(
        """SELECT relname, indisunique, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid
           WHERE indrelid = $1::text::regclass AND NOT indisprimary AND indisvalid""",
        f"reservations.{table}",
    )
    return {name: (unique, definition.partition(" USING btree ")[2]) for name, unique, definition in rows}


async def leaves_of(connection: Connection, table: str) -> list[str]:
    """Return the names of a table's partitions, oldest first."""
    rows = await connection.fetch(
        """SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
           WHERE inhparent = $1::text::regclass ORDER BY relname""",
        f"reservations.{table}",
    )
    return [row["relname"] for row in rows]


@pytest.mark.parametrize("table", PARTITIONED)
async def test_the_columns_are_the_documented_ones(catalog: Connection, table: str) -> None:
    assert await columns_of(catalog, table) == DOCUMENTED_COLUMNS[table]


@pytest.mark.parametrize("table", PARTITIONED)
async def test_a_month_has_the_columns_of_its_table(catalog: Connection, table: str) -> None:
    for leaf in await leaves_of(catalog, table):
        assert await columns_of(catalog, leaf) == DOCUMENTED_COLUMNS[table]


@pytest.mark.parametrize("table", PARTITIONED)
async def test_the_constraints_are_the_documented_ones(catalog: Connection, table: str) -> None:
    assert set((await constraints_of(catalog, table)).values()) == DOCUMENTED_CONSTRAINTS[table]


@pytest.mark.parametrize("table", PARTITIONED)
async def test_the_indexes_are_the_documented_ones_and_those_of_searches(catalog: Connection, table: str) -> None:
    documented = {name: (False, columns) for name, columns in indexes_for(table).items()}
    assert await indexes_of(catalog, table) == documented


async def test_every_month_has_the_documented_indexes_and_a_unique_confirmation_code(catalog: Connection) -> None:
    for table in PARTITIONED:
        for leaf in await leaves_of(catalog, table):
            expected = {(False, columns) for columns in indexes_for(table).values()}
            indexes = await indexes_of(catalog, leaf)
            if table == "reservations":
                expected.add((True, "(confirmation_code)"))
                assert "idx_res_confirmation" + leaf.removeprefix("reservations") in indexes
            assert set(indexes.values()) == expected


async def test_tables_are_partitioned_by_their_ids_and_have_no_default_partition(catalog: Connection) -> None:
    rows = await catalog.fetch(
        "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid), partdefid FROM pg_partitioned_table"
    )
    assert {tuple(row) for row in rows} == {
        (f"reservations.{table}", f"RANGE ({key})", 0) for table, key in PARTITIONED.items()
    }


async def test_foreign_keys_go_from_a_month_to_the_same_month(catalog: Connection) -> None:
    for table in ("participants", "status_history"):
        leaves = await leaves_of(catalog, table)
        assert len(leaves) == 4
        for leaf in leaves:
            target = "reservations.reservations" + leaf.removeprefix(table)
            assert await constraints_of(catalog, leaf, "f") == {
                f"{table}_reservation_id_fkey": f"FOREIGN KEY (reservation_id) REFERENCES {target}(reservation_id)"
            }


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("inbox_parked_names_reservation", {"reservation_id": None, "outcome": None}),
        ("inbox_outcome_is_object", {"outcome": "null"}),
        ("inbox_publications_is_array", {"publications": "{}"}),
    ],
)
async def test_the_inbox_refuses_what_makes_no_sense(
    connection: Connection, constraint: str, changes: dict[str, Any]
) -> None:
    row = {"message_id": uuid4(), "kind": "reservation.create", "reservation_id": uuid4(), "fingerprint": uuid4()}
    row |= {"outcome": "{}", "publications": "[]"}
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await insert(connection, "inbox", row | changes)
    assert refusal.value.constraint_name == constraint
    await insert(connection, "inbox", row)


async def test_the_inbox_keeps_what_was_published_byte_for_byte(connection: Connection) -> None:
    outcome = '{"b": 1,  "a": 1.50, "b": 2}'
    row = {"message_id": uuid4(), "kind": "reservation.create", "fingerprint": uuid4(), "outcome": outcome}
    await insert(connection, "inbox", row)
    assert await connection.fetchval("SELECT outcome FROM reservations.inbox") == outcome


@pytest.mark.parametrize(
    ("constraint", "taken"), [("trip_slots_not_overbooked", 3), ("trip_slots_taken_not_negative", -1)]
)
async def test_seats_taken_stay_between_none_and_all(connection: Connection, constraint: str, taken: int) -> None:
    row = {"trip_id": uuid4(), "trip_date": datetime(2026, 12, 24, tzinfo=UTC).date(), "capacity": 2, "taken": 2}
    await insert(connection, "trip_slots", row)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await connection.execute("UPDATE reservations.trip_slots SET taken = $1", taken)
    assert refusal.value.constraint_name == constraint


async def as_role(dsn: str, role: str) -> Connection:
    """Connect as a process of the service does, in one of its roles."""
    connection = await asyncpg.connect(dsn, server_settings={"role": role})
    assert await connection.fetchval("SELECT current_user") == role
    return connection


async def refused(connection: Connection, statement: str) -> bool:
    """Tell whether a statement is refused for lack of a right."""
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


async def test_a_reader_reads_every_table_and_writes_none(database: str) -> None:
    reader = await as_role(database, "reservations_reader")
    for table in (*TABLES, "schema_migrations"):
        column = (await columns_of(reader, table))[0][0]
        await reader.fetch(f"TABLE reservations.{table}")
        for statement in CHANGES + DELETIONS + REMODELLING:
            assert await refused(reader, statement.format(table=table, column=column)), statement
    assert await refused(reader, "SELECT reservations.ensure_month('2031-01-01')")
    await reader.close()


async def test_a_writer_adds_and_changes_rows_through_the_tables(database: str) -> None:
    writer = await as_role(database, "reservations_writer")
    made_at = datetime.now(UTC).replace(microsecond=0)
    reservation = reservation_row(made_at)
    reservation_id = reservation["reservation_id"]
    await insert(writer, "reservations", reservation)
    child = {"participant_id": kin_of(reservation_id, 0), "reservation_id": reservation_id, "guest_id": uuid4()}
    await insert(writer, "participants", child | {"created_at": made_at})
    entry = {"history_id": kin_of(reservation_id, 0), "reservation_id": reservation_id, "new_status": "confirmed"}
    await insert(writer, "status_history", entry | {"changed_by": "test"})
    assert await writer.execute("UPDATE reservations.reservations SET _rev = _rev + 1") == "UPDATE 1"
    assert await writer.execute("UPDATE reservations.participants SET waiver_signed = true") == "UPDATE 1"
    assert (
        await writer.fetchval("SELECT count(*) FROM (SELECT FROM reservations.reservations FOR UPDATE) AS locked") == 1
    )
    await writer.close()


async def test_a_writer_alters_drops_and_deletes_nothing(database: str) -> None:
    writer = await as_role(database, "reservations_writer")
    leaf = (await leaves_of(writer, "reservations"))[0]
    for table in (*TABLES, leaf, "schema_migrations"):
        for statement in DELETIONS + REMODELLING:
            # What was answered leaves the inbox some day.
            if (table, statement) != ("inbox", DELETIONS[0]):
                assert await refused(writer, statement.format(table=table)), statement
    assert await refused(writer, "CREATE TABLE reservations.extra ()")
    assert await refused(writer, f"ALTER TABLE reservations.reservations DETACH PARTITION reservations.{leaf}")
    assert await refused(writer, "UPDATE reservations.status_history SET reason = 'rewritten'")
    assert await refused(writer, "UPDATE reservations.schema_migrations SET version = 99")
    await writer.close()


async def test_a_pooled_connection_keeps_its_role_from_one_user_to_the_next(database: str) -> None:
    role = {"role": "reservations_reader"}
    async with asyncpg.create_pool(database, min_size=1, max_size=1, server_settings=role) as pool:
        for _ in range(2):
            assert await pool.fetchval("SELECT current_user") == "reservations_reader"


async def test_nobody_else_may_call_the_functions(catalog: Connection) -> None:
    rows = await catalog.fetch(
        "SELECT proname, proacl::text[] AS rights FROM pg_proc WHERE pronamespace = 'reservations'::regnamespace"
    )
    assert {row["proname"] for row in rows} == {"uuid7_floor", "uuid7_time", "month_code", "ensure_month"}
    for row in rows:
        assert not [right for right in row["rights"] if right.startswith("=")]
