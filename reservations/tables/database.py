"""Connections to Postgres: pools that take on the writer's or the reader's role."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import Pool, PoolConnectionProxy

    AnyConnection = Connection[Record] | PoolConnectionProxy[Record]
    AnyPool = Pool[Record]

CLIENT_GRACE_S = 2.0
MAX_QUERIES = 50_000  # that a connection answers before a new one takes its place
OWNER: Mapping[str, str] = {"role": "reservations_owner"}
WRITER: Mapping[str, str] = {"role": "reservations_writer"}
READER: Mapping[str, str] = {
    "role": "reservations_reader",
    "default_transaction_read_only": "on",
    # A search is planned for the filters it has: one plan for all would read whole months for a rare status.
    "plan_cache_mode": "force_custom_plan",
    # What a caller searches for has an index. A scan looks cheaper where many matches are expected and none are there.
    "enable_seqscan": "off",
}


class StaleWriteError(Exception):
    """A row is no longer as it was read."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections a process keeps, how long, and how long one statement may take."""

    application: str
    min_size: int
    max_size: int
    idle_timeout_s: float
    statement_timeout_s: float


class WatchedPool(asyncpg.Pool):
    """A pool that tells how many wait for a connection now, and how long each waited."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting = 0
        self.on_waited: Callable[[float], object] = lambda _: None

    async def _acquire(self, timeout: float | None) -> "PoolConnectionProxy[Record]":  # noqa: ASYNC109 - asyncpg's signature
        # Every way to have a connection comes through here; those that give up do, too.
        begun = perf_counter()
        self.waiting += 1
        try:
            return await super()._acquire(timeout)  # type: ignore[misc, no-any-return] # private, so without a stub
        finally:
            self.waiting -= 1
            self.on_waited(perf_counter() - begun)


def pool_of(
    dsn: str, part: Mapping[str, str], limits: PoolLimits, connection_class: "type[Connection[Record]] | None" = None
) -> WatchedPool:
    """Return a pool, not yet connected, whose connections play one part: WRITER or READER."""
    timeout_ms = str(int(limits.statement_timeout_s * 1000))
    return WatchedPool(
        dsn,
        min_size=limits.min_size,
        max_size=limits.max_size,
        max_queries=MAX_QUERIES,
        max_inactive_connection_lifetime=limits.idle_timeout_s,
        loop=None,
        record_class=asyncpg.Record,
        timeout=limits.statement_timeout_s,
        # The server's own limit should strike first; this one is for a server that answers no more.
        command_timeout=limits.statement_timeout_s + CLIENT_GRACE_S,
        reset=_leave_as_it_is,
        connection_class=connection_class or asyncpg.Connection,
        server_settings={
            **part,
            "application_name": limits.application,
            "timezone": "UTC",
            "statement_timeout": timeout_ms,
            "idle_in_transaction_session_timeout": timeout_ms,
        },
    )


async def _leave_as_it_is(connection: "AnyConnection") -> None:
    """Spare the round trip of asyncpg's own reset: nothing here changes a session."""
