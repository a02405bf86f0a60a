"""Tracing of SQL: a span for each statement of what is traced, by the statement's name."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from opentelemetry.trace import SpanKind, Tracer, get_current_span

from reservations.app.tracing.spans import lasting

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T")
#: A statement of several begins with their names.
NAMES = re.compile(r"/\* (.*?) \*/")


def _name_of(query: str) -> str:
    """Name what has no name of its own: several statements at once, or the begin or end of a transaction."""
    several = NAMES.match(query)
    return several[1] if several else query.split(maxsplit=1)[0].rstrip(";").upper()


def traced_connection(tracer: Tracer, names: Mapping[str, str], database: str) -> "type[Connection[Record]]":
    """Return a class of connections whose statements are spans, where they are part of something that has one.

    What no span asked for has none: a process looks after itself all the time. Neither statements nor their arguments
    are told.
    """

    async def within(query: str, run: Callable[[], Awaitable[T]]) -> T:
        if not get_current_span().is_recording():
            return await run()
        name = names.get(query) or _name_of(query)
        attributes = {"db.system.name": "postgresql", "db.namespace": database, "db.query.summary": name}
        span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        with lasting([span]):
            return await run()

    class TracedConnection(asyncpg.Connection):
        """A connection whose statements are spans."""

        __slots__ = ()

        async def execute(self, query: str, *args: Any, **options: Any) -> str:
            return await within(query, lambda: super(TracedConnection, self).execute(query, *args, **options))

        async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
            return await within(query, lambda: super(TracedConnection, self).fetch(query, *args, **options))

        async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
            return await within(query, lambda: super(TracedConnection, self).fetchrow(query, *args, **options))

        async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
            return await within(query, lambda: super(TracedConnection, self).fetchval(query, *args, **options))

    return TracedConnection
