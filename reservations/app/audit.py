"""Auditing the books: what is counted against what is held."""

import asyncpg

from reservations.app.settings import Settings
from reservations.tables import trip_slots
from reservations.tables.trip_slots import Imbalance

LOCK_TIMEOUT_MS = 5_000


async def audit_slots(settings: Settings, *, repair: bool) -> list[Imbalance]:
    """Return the trip dates whose count is wrong; with repair, set those right. No seat is sold meanwhile."""
    connection = await asyncpg.connect(settings.database_url, server_settings={"lock_timeout": str(LOCK_TIMEOUT_MS)})
    try:
        async with connection.transaction():
            await trip_slots.hold_still(connection)
            wrong = await trip_slots.imbalances(connection)
            if repair and wrong:
                await trip_slots.repair(connection, wrong)
            return wrong
    finally:
        await connection.close()
