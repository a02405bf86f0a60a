"""All there is in the schema belongs to one role, whoever migrated it and whenever."""

import asyncio
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from reservations.migrations.runner import FOLDER, OWNER, MigrationError, migrate
from tests.databases import beside, execute

OWNERS = """
SELECT DISTINCT owner::regrole::text FROM (
  SELECT nspowner FROM pg_namespace WHERE nspname = 'reservations'
  UNION ALL SELECT relowner FROM pg_class WHERE relnamespace = 'reservations'::regnamespace
  UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'reservations'::regnamespace
) AS found (owner)"""
NAMES = sorted(path.stem for path in FOLDER.glob("*.sql"))
BEFORE_OWNER = NAMES.index("0010_owner")


def files(folder: Path, count: int) -> Path:
    """Copy the first migrations, as an older release had them."""
    for name in NAMES[:count]:
        shutil.copy(FOLDER / f"{name}.sql", folder)
    (folder / f"{count + 1:04}_stop.sql").write_text("SELECT 1 / 0")
    return folder


async def owners(address: str) -> list[str]:
    """Return who owns something in the schema."""
    connection = await asyncpg.connect(address)
    try:
        return [row[0] for row in await connection.fetch(OWNERS)]
    finally:
        await connection.close()


async def a_modest_login(cluster: str, name: str) -> str:
    """Make a login that may create roles and owns a database of its name; return its address."""
    await execute(cluster, f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{name}'")
    await execute(cluster, f"CREATE DATABASE {name} OWNER {name}")
    return beside(cluster, name, user=f"{name}:{name}")


async def test_what_a_superuser_migrates_belongs_to_the_owner(empty_database: str) -> None:
    await migrate(empty_database)
    assert await owners(empty_database) == [OWNER]


@pytest.mark.parametrize("count", [2, BEFORE_OWNER])
async def test_what_an_older_release_made_comes_to_belong_to_the_owner(
    empty_database: str, tmp_path: Path, count: int
) -> None:
    with pytest.raises(MigrationError, match="stop"):
        await migrate(empty_database, folder=files(tmp_path, count))
    assert OWNER not in await owners(empty_database)
    await execute(empty_database, "SELECT reservations.ensure_month('2025-01-01')" if count > 2 else "SELECT")
    await migrate(empty_database)
    assert await owners(empty_database) == [OWNER]


async def test_a_plain_login_migrates_a_fresh_database_and_one_of_an_older_release(
    own_cluster: str, tmp_path: Path
) -> None:
    fresh = await a_modest_login(own_cluster, "fresh")
    await migrate(fresh)
    assert await owners(fresh) == [OWNER]
    old = await a_modest_login(own_cluster, "old")
    with pytest.raises(MigrationError, match="stop"):
        await migrate(old, folder=files(tmp_path, BEFORE_OWNER))
    assert await owners(old) == ["old"]
    await migrate(old)
    assert await owners(old) == [OWNER]


async def test_older_databases_of_one_cluster_get_their_owner_at_once(own_cluster: str, tmp_path: Path) -> None:
    addresses = [await a_modest_login(own_cluster, f"old_{number}") for number in range(3)]
    folder = files(tmp_path, BEFORE_OWNER)
    for address in addresses:
        with pytest.raises(MigrationError, match="stop"):
            await migrate(address, folder=folder)
    applied = await asyncio.gather(*map(migrate, addresses))
    assert applied == [NAMES[BEFORE_OWNER:]] * len(addresses)
    assert [await owners(address) for address in addresses] == [[OWNER]] * len(addresses)


async def test_what_a_later_migration_makes_belongs_to_the_owner(database: str, tmp_path: Path) -> None:
    for name in NAMES:
        shutil.copy(FOLDER / f"{name}.sql", tmp_path)
    made = "CREATE TABLE reservations.later (); CREATE FUNCTION reservations.later() RETURNS int RETURN 1;"
    (tmp_path / f"{len(NAMES) + 1:04}_later.sql").write_text(made)
    await migrate(database, folder=tmp_path)
    assert await owners(database) == [OWNER]


async def test_a_login_that_was_not_granted_the_owner_is_told_how(own_cluster: str) -> None:
    address = await a_modest_login(own_cluster, "first")
    await migrate(address)
    await execute(own_cluster, "CREATE ROLE second LOGIN PASSWORD 'second'")
    other = beside(own_cluster, urlsplit(address).path[1:], user="second:second")
    with pytest.raises(MigrationError, match=f"GRANT {OWNER} TO second"):
        await migrate(other)
    await execute(own_cluster, f"GRANT {OWNER} TO second")
    assert await migrate(other) == []
