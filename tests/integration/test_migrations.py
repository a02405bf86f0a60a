"""Migrations go forward only, each once, whoever runs them and however many at a time."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from reservations.migrations.runner import FOLDER, MigrationError, current_version, latest_version, migrate
from tests.integration.postgres_server import Connection, PostgresServer

pytest_plugins = ["tests.integration.postgres_fixture"]

ROLES = ("reservations_reader", "reservations_writer")
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
async def modest_user(postgres: PostgresServer, template: str) -> AsyncIterator[str]:
    """Yield a user that is no superuser, in a cluster that does not know the service's roles for now."""
    assert template, "migrating it has made the roles"
    for role in ROLES:
        await postgres.execute(f"ALTER ROLE {role} RENAME TO {role}_of_others")
    await postgres.execute("CREATE ROLE modest LOGIN CREATEROLE")
    yield "modest"
    for role in ROLES:
        await postgres.execute(f"DROP ROLE IF EXISTS {role}")
        await postgres.execute(f"ALTER ROLE {role}_of_others RENAME TO {role}")
    await postgres.execute("DROP ROLE modest")


def add(folder: Path, sql: str) -> None:
    """Add a migration after the last one."""
    (folder / f"{len(NAMES) + 1:04}_next.sql").write_text(sql)


def dump(postgres: PostgresServer, dsn: str) -> list[str]:
    """Return the lines of a database's schema, without those that differ each time."""
    command: list[str | Path] = [postgres.programs / "pg_dump", "--schema-only", dsn]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if not line.startswith("\\")]


async def test_an_empty_database_gets_every_migration_in_order(empty_database: str, empty: Connection) -> None:
    told: list[str] = []
    assert await current_version(empty) == 0
    assert await migrate(empty_database, log=told.append) == NAMES
    assert await current_version(empty) == latest_version() == len(NAMES)
    assert told == [f"applying migration {name}" for name in NAMES]


async def test_a_migrated_database_is_left_as_it_is(
    postgres: PostgresServer, database: str, connection: Connection
) -> None:
    record = "SELECT * FROM reservations.schema_migrations"
    before = dump(postgres, database), await connection.fetch(record)
    assert await migrate(database) == []
    assert (dump(postgres, database), await connection.fetch(record)) == before


@pytest.mark.parametrize("version", range(len(NAMES)))
async def test_every_earlier_version_grows_into_the_same_schema(
    postgres: PostgresServer, template: str, empty_database: str, folder: Path, version: int
) -> None:
    for name in NAMES[version:]:
        (folder / f"{name}.sql").unlink()
    (folder / f"{version + 1:04}_stop.sql").write_text("SELECT 1 / 0")
    with pytest.raises(MigrationError, match="_stop failed and left nothing behind: division by zero"):
        await migrate(empty_database, folder=folder)
    assert await migrate(empty_database) == NAMES[version:]
    assert dump(postgres, empty_database) == dump(postgres, postgres.dsn(template))


async def test_of_two_processes_one_migrates_and_both_succeed(empty_database: str) -> None:
    results = await asyncio.gather(*(migrate(empty_database) for _ in range(2)))
    assert sorted(results) == [[], NAMES]


async def test_databases_of_one_cluster_are_migrated_at_once_while_its_roles_are_new(
    postgres: PostgresServer, modest_user: str
) -> None:
    async with AsyncExitStack() as stack:
        copies = [postgres.scratch_database(f"together_{number}", owner=modest_user) for number in range(3)]
        addresses = [await stack.enter_async_context(copy) for copy in copies]
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
