"""Databases for tests: `database` is migrated, `empty_database` is not, `catalog` is migrated and only read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from reservations.app.stack.home import Home
from reservations.migrations.runner import migrate
from tests.servers import Server, embedded_postgres

GROWN_RESERVATIONS, GROWN_MONTHS = 30_000, 24
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def beside(database_url: str, name: str, user: str | None = None) -> str:
    """Return the address of another database of the same server, for another user if one is named."""
    parts = urlsplit(database_url)
    netloc = parts.netloc if user is None else f"{user}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{name}"))


async def execute(database_url: str, statement: str) -> None:
    """Run a statement on a connection of its own."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def scratch_database(server_url: str, template: str = "template1") -> AsyncIterator[str]:
    """Copy a database of a server from a template, give its address, and drop it."""
    name = f"test_{uuid4().hex[:12]}"
    await execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield beside(server_url, name)
    finally:
        await execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
async def template(postgres: Server) -> AsyncIterator[str]:
    """Migrate a database once, for the tests' databases to be copied from; give its name."""
    async with scratch_database(postgres.address) as address:
        await migrate(address)
        yield urlsplit(address).path[1:]


@pytest.fixture
async def database(postgres: Server, template: str) -> AsyncIterator[str]:
    """Give the address of a migrated database of the test's own."""
    async with scratch_database(postgres.address, template) as address:
        yield address


@pytest.fixture(scope="session")
async def session_database(postgres: Server, template: str) -> AsyncIterator[str]:
    """Give the address of a migrated database that the tests of the shared service use."""
    async with scratch_database(postgres.address, template) as address:
        yield address


@pytest.fixture
async def empty_database(postgres: Server) -> AsyncIterator[str]:
    """Give the address of an empty database of the test's own."""
    async with scratch_database(postgres.address) as address:
        yield address


@pytest.fixture
async def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Give the address of a server of the test's own, for its superuser. It does not know the service's roles."""
    with embedded_postgres(Home(tmp_path_factory.mktemp("cluster"))) as server:
        yield server.address


@pytest.fixture(scope="module")
async def catalog(postgres: Server, template: str) -> AsyncIterator[Connection]:
    """Give a connection to a migrated database that a module's tests share: they only read."""
    async with scratch_database(postgres.address, template) as address:
        # No search path: names are shown in full, whatever the user is called.
        settings = {"default_transaction_read_only": "on", "search_path": ""}
        connection = await asyncpg.connect(address, server_settings=settings)
        yield connection
        await connection.close()


@pytest.fixture(scope="session")
async def grown(postgres: Server, template: str) -> AsyncIterator[str]:
    """Give the address of a database that holds two years of reservations; tests only read it, or roll back."""
    from tests.bench.generate import generate

    async with scratch_database(postgres.address, template) as address:
        await generate(address, reservations=GROWN_RESERVATIONS, months=GROWN_MONTHS, seed=7)
        yield address


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """Give a connection to the test's migrated database, as its owner."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
