"""A pool of database connections tells who waits for one."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from reservations.app.metrics import PoolCollector
from reservations.tables.database import READER, PoolLimits, pool_of
from tests.conditions import eventually
from tests.servers import Server

LIMITS = PoolLimits("test", min_size=1, max_size=1, idle_timeout_s=60, statement_timeout_s=5)


async def test_who_waits_for_a_connection_is_counted_and_timed_whether_or_not_it_comes(
    session_database: str, postgres: Server
) -> None:
    registry, waited = CollectorRegistry(), list[float]()
    async with pool_of(session_database, READER, LIMITS) as pool:
        registry.register(PoolCollector(pool))
        pool.on_waited = waited.append

        async def one_waits() -> bool:
            return registry.get_sample_value("reservations_pool_waiting") == 1

        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=0.01)
            late = asyncio.ensure_future(pool.fetchval("SELECT 1"))
            await eventually(one_waits)
            assert registry.get_sample_value("reservations_pool_connections", {"state": "used"}) == 1
        assert await late == 1
        assert registry.get_sample_value("reservations_pool_waiting") == 0
        assert len(waited) == 3
        assert waited[1] >= 0.01
