"""A service with settings of its own, for one module's tests to share, and a look at what it keeps."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tests.conditions import eventually
from tests.conftest import prefix, quirks
from tests.databases import Connection, scratch_database
from tests.servers import Servers
from tests.service import Service, a_service

#: Who leaves the group or joins it is noticed soon, as far as the broker allows it. Tansu's joins take half a session.
QUICK = {"KAFKA_SESSION_TIMEOUT_S": "2", "KAFKA_REBALANCE_TIMEOUT_S": "1"}


@asynccontextmanager
async def a_running_service(
    servers: Servers, template: str, folder: Path, settings: Mapping[str, str], *, workers: int = 2
) -> AsyncIterator[Service]:
    """Give a service on a database and topics of its own, that runs with these settings."""
    async with (
        scratch_database(servers.database_url, template) as database,
        a_service(
            database, servers.kafka_bootstrap_servers, prefix(), folder, {**settings, **quirks(servers)}
        ) as service,
    ):
        processes = [service.launch(name) for name in ("gateway", *("worker" for _ in range(workers)))]
        await asyncio.gather(*map(service.ready, processes))
        yield service


async def start_workers(service: Service, count: int = 2) -> None:
    """Start workers; return when all are ready."""
    workers = [service.launch("worker") for _ in range(count)]
    await asyncio.gather(*map(service.ready, workers))


@asynccontextmanager
async def connected(service: Service) -> AsyncIterator[Connection]:
    """Give a connection to the service's database, as its owner."""
    connection = await asyncpg.connect(service.database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def waiting(service: Service, *reservation_ids: str) -> int:
    """Return how many payments wait for these reservations."""
    query = "SELECT count(*) FROM reservations.inbox WHERE outcome IS NULL AND reservation_id = ANY ($1::uuid[])"
    async with connected(service) as connection:
        return int(await connection.fetchval(query, reservation_ids))


async def until_waiting(service: Service, count: int, *reservation_ids: str) -> None:
    """Wait until so many payments wait for these reservations."""

    async def look() -> bool:
        return await waiting(service, *reservation_ids) == count

    await eventually(look)
