"""Connections to Postgres: pools that take on the writer's or the reader's role."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import Pool, PoolConnectionProxy

    AnyConnection = Connection[Record] | PoolConnectionProxy[Record]
    AnyPool = Pool[Record]

WRITER: Mapping[str, str] = {"role": "reservations_writer"}
READER: Mapping[str, str] = {
    "role": "reservations_reader",
    "default_transaction_read_only": "on",
    # A search is planned for the filters it has: one plan for all would read whole months for a rare status.
    "plan_cache_mode": "force_custom_plan",
}


def pool(
    dsn: str,
    part: Mapping[str, str],
    *,
    application: str,
    min_size: int,
    max_size: int,
    idle_timeout_s: float,
    statement_timeout_s: float,
) -> "AnyPool":
    """Return a pool, not yet connected, whose connections play one part: WRITER or READER."""
    return asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        max_inactive_connection_lifetime=idle_timeout_s,
        command_timeout=statement_timeout_s * 1.5,
        timeout=statement_timeout_s,
        reset=_leave_as_it_is,
        server_settings={
            **part,
            "application_name": application,
            "timezone": "UTC",
            "statement_timeout": str(int(statement_timeout_s * 1000)),
            "idle_in_transaction_session_timeout": str(int(statement_timeout_s * 1000)),
        },
    )


async def _leave_as_it_is(connection: "AnyConnection") -> None:
    """Spare the round trip of asyncpg's own reset: nothing here changes a session."""
