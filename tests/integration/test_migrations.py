"""Migrations go forward only, each once, whoever runs them and however many at a time."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from reservations.agents.survival import Patience
from reservations.app.dependencies import check_schema, open_pool
from reservations.migrations.runner import FOLDER, MigrationError, current_version, latest_version, migrate
from reservations.tables.database import WRITER, PoolLimits, pool_of
from tests.databases import Connection, beside, execute
from tests.servers import Server

ROLES = ("reservations_owner", "reservations_reader", "reservations_writer")
SCHEMA = """
SELECT format('%s: %s %s %s %s', c.oid::regclass, attname, format_type(atttypid, atttypmod), attnotnull,
              pg_get_expr(adbin, adrelid)) AS line
FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
WHERE relnamespace = 'reservations'::regnamespace
UNION ALL SELECT format('%s: %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'reservations'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'reservations'
UNION ALL SELECT pg_get_functiondef(oid) || proacl::text FROM pg_proc WHERE pronamespace = 'reservations'::regnamespace
UNION ALL SELECT format('%s is of %s', oid::regprocedure, proowner::regrole) FROM pg_proc
WHERE pronamespace = 'reservations'::regnamespace
UNION ALL SELECT format('%s: %s %s %s', oid::regclass, pg_get_expr(relpartbound, oid), relacl, relowner::regrole)
FROM pg_class WHERE relnamespace = 'reservations'::regnamespace
ORDER BY line"""
NAMES = sorted(path.stem for path in FOLDER.glob("*.sql"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the migrations to where a test may change them."""
    for path in FOLDER.glob("*.sql"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
async def empty(empty_database: str) -> AsyncIterator[Connection]:
    """Yield a connection to the test's empty database."""
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


@pytest.fixture
async def new_cluster(own_cluster: str) -> str:
    """Return the address of a server of the test's own, which does not know the service's roles, for no superuser."""
    await execute(own_cluster, "CREATE ROLE modest LOGIN CREATEROLE CREATEDB PASSWORD 'modest'")
    return beside(own_cluster, "postgres", user="modest:modest")


def add(folder: Path, sql: str) -> None:
    """Add a migration after the last one."""
    (folder / f"{len(NAMES) + 1:04}_next.sql").write_text(sql)


async def dump(address: str) -> list[str]:
    """Return a database's schema: every column, constraint, index, function and right of it."""
    connection = await asyncpg.connect(address)
    try:
        return [row["line"] for row in await connection.fetch(SCHEMA)]
    finally:
        await connection.close()


@pytest.fixture
async def catalog_lines(postgres: Server, template: str) -> list[str]:
    """Return the schema of a database that was migrated in one go."""
    return await dump(beside(postgres.address, template))


async def test_an_empty_database_gets_every_migration_in_order(empty_database: str, empty: Connection) -> None:
    told: list[str] = []
    assert await current_version(empty) == 0
    assert await migrate(empty_database, log=told.append) == NAMES
    assert await current_version(empty) == latest_version() == len(NAMES)
    assert told == [f"applying migration {name}" for name in NAMES]


async def test_a_migrated_database_is_left_as_it_is(database: str, connection: Connection) -> None:
    record = "SELECT * FROM reservations.schema_migrations"
    before = await dump(database), await connection.fetch(record)
    assert await migrate(database) == []
    assert (await dump(database), await connection.fetch(record)) == before


@pytest.mark.parametrize("version", range(len(NAMES)))
async def test_every_earlier_version_grows_into_the_same_schema(
    catalog_lines: list[str], empty_database: str, folder: Path, version: int
) -> None:
    for name in NAMES[version:]:
        (folder / f"{name}.sql").unlink()
    (folder / f"{version + 1:04}_stop.sql").write_text("SELECT 1 / 0")
    with pytest.raises(MigrationError, match="_stop failed and left nothing behind: division by zero"):
        await migrate(empty_database, folder=folder)
    assert await migrate(empty_database) == NAMES[version:]
    assert await dump(empty_database) == catalog_lines


async def test_of_two_processes_one_migrates_and_both_succeed(empty_database: str) -> None:
    results = await asyncio.gather(*(migrate(empty_database) for _ in range(2)))
    assert sorted(results) == [[], NAMES]


async def test_databases_of_one_cluster_are_migrated_at_once_while_its_roles_are_new(new_cluster: str) -> None:
    addresses = [beside(new_cluster, f"together_{number}") for number in range(3)]
    for address in addresses:
        await execute(new_cluster, f"CREATE DATABASE {urlsplit(address).path[1:]}")
    assert await asyncio.gather(*map(migrate, addresses)) == [NAMES] * len(addresses)
    for role in ROLES:
        await (await asyncpg.connect(addresses[0], server_settings={"role": role})).close()


async def test_waiting_for_another_process_is_told_and_ends(empty_database: str, empty: Connection) -> None:
    told: list[str] = []
    await empty.execute("SELECT pg_advisory_lock(hashtextextended('reservations.migrations', 0))")
    with pytest.raises(MigrationError, match="another process has been migrating"):
        await migrate(empty_database, log=told.append, others_timeout_s=0.1)
    assert told == ["another process is migrating this database; waiting for it, at most 0.1 s"]
    assert await current_version(empty) == 0


async def test_a_migration_does_not_wait_long_for_a_table(
    database: str, connection: Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reservations.migrations.runner.LOCK_TIMEOUT_S", 0.1)
    add(folder, "ALTER TABLE reservations.inbox ADD COLUMN extra integer")
    async with connection.transaction():
        await connection.fetch("SELECT FROM reservations.inbox")
        with pytest.raises(MigrationError, match="lock timeout"):
            await asyncio.wait_for(migrate(database, folder=folder), timeout=10)
    assert await migrate(database, folder=folder) == [f"{len(NAMES) + 1:04}_next"]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("SELECT 1 / 0", "division by zero"),
        (
            "INSERT INTO reservations.schema_migrations SELECT count(*) + 1, '', '' FROM reservations.half",
            "duplicate key",
        ),
    ],
    ids=["in its file", "when it is recorded"],
)
async def test_a_migration_that_fails_leaves_nothing_behind(
    database: str, connection: Connection, folder: Path, ending: str, reason: str
) -> None:
    add(folder, f"CREATE TABLE reservations.half AS TABLE reservations.schema_migrations; {ending}")
    with pytest.raises(MigrationError, match=f"next failed and left nothing behind: {reason}"):
        await migrate(database, folder=folder)
    assert await connection.fetchval("SELECT to_regclass('reservations.half')") is None
    assert await current_version(connection) == len(NAMES)


async def test_a_file_that_changed_after_it_was_applied_is_refused(database: str, folder: Path) -> None:
    path = folder / f"{NAMES[1]}.sql"
    path.write_text(path.read_text() + "-- one more thought")
    with pytest.raises(MigrationError, match=f"{NAMES[1]} is not what was applied"):
        await migrate(database, folder=folder)


async def test_a_file_that_was_renamed_after_it_was_applied_is_refused(database: str, folder: Path) -> None:
    (folder / f"{NAMES[1]}.sql").rename(folder / "0002_other.sql")
    with pytest.raises(MigrationError, match=f"0002_other is not what was applied as {NAMES[1]}"):
        await migrate(database, folder=folder)


async def test_line_endings_of_a_checkout_change_nothing(database: str, folder: Path) -> None:
    for name in NAMES:
        path = folder / f"{name}.sql"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(database, folder=folder) == []


async def test_a_database_ahead_of_the_code_is_refused(database: str, folder: Path) -> None:
    (folder / f"{NAMES[-1]}.sql").unlink()
    with pytest.raises(MigrationError, match=f"at version {len(NAMES)}, this code only at {len(NAMES) - 1}"):
        await migrate(database, folder=folder)


async def test_a_gap_in_what_was_applied_is_refused(database: str, connection: Connection) -> None:
    await connection.execute("DELETE FROM reservations.schema_migrations WHERE version = 2")
    with pytest.raises(MigrationError, match="applied to this database should have version 2 where they have 3"):
        await migrate(database)


def test_a_gap_between_files_is_refused(folder: Path) -> None:
    (folder / f"{NAMES[1]}.sql").unlink()
    with pytest.raises(MigrationError, match="should have version 2 where they have 3"):
        latest_version(folder)


def test_two_files_of_one_number_are_refused(folder: Path) -> None:
    (folder / "0002_zebra.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match="should have version 3 where they have 2"):
        latest_version(folder)


def test_a_file_without_a_number_is_refused(folder: Path) -> None:
    (folder / "cleanup.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match="must be named by its number"):
        latest_version(folder)


async def test_a_schema_of_a_later_release_is_worked_on(database: str) -> None:
    later = "SELECT max(version) + 1, 'of_a_later_release', '' FROM reservations.schema_migrations"
    await execute(database, f"INSERT INTO reservations.schema_migrations {later}")
    pool = pool_of(database, WRITER, PoolLimits("upgrade", 1, 2, 60, 10))
    await open_pool(pool, Patience(asyncio.Event(), lambda *_: None))
    assert await check_schema(pool) is None
    await pool.close()
