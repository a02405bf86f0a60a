"""Databases for tests: `database` is migrated, `empty_database` is not, `catalog` is migrated and only read."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import asyncpg
import pytest

from reservations.migrations.runner import migrate
from tests.integration.postgres_server import Connection, PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a server while the tests run."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
async def template(postgres: PostgresServer) -> str:
    """Migrate a database once, for the tests' databases to be copied from; return its name."""
    await postgres.execute("CREATE DATABASE reservations_template")
    await migrate(postgres.dsn("reservations_template"))
    return "reservations_template"


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Number the databases of a run."""
    return count(1)


@pytest.fixture
async def database(postgres: PostgresServer, template: str, numbers: Iterator[int]) -> AsyncIterator[str]:
    """Yield the address of a migrated database of the test's own."""
    async with postgres.scratch_database(f"test_{next(numbers)}", template) as dsn:
        yield dsn


@pytest.fixture
async def empty_database(postgres: PostgresServer, numbers: Iterator[int]) -> AsyncIterator[str]:
    """Yield the address of an empty database of the test's own."""
    async with postgres.scratch_database(f"test_{next(numbers)}") as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def catalog(postgres: PostgresServer, template: str, numbers: Iterator[int]) -> AsyncIterator[Connection]:
    """Yield a connection to a migrated database that a module's tests share: they only read."""
    async with postgres.scratch_database(f"test_{next(numbers)}", template) as dsn:
        connection = await asyncpg.connect(dsn, server_settings={"default_transaction_read_only": "on"})
        yield connection
        await connection.close()


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """Yield a connection to the test's migrated database, as its owner."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
