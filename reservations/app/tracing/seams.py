"""Where tracing can be put around the parts of a process. As they stand here, these return each part as it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
from aiohttp.typedefs import Middleware

from reservations.agents.commands import Decode
from reservations.agents.engine import Applies
from reservations.agents.intake import Apply, Delivery
from reservations.agents.publisher import Publishes
from reservations.agents.telling import Verdict

if TYPE_CHECKING:
    from asyncpg import Connection, Record

See = Callable[[Delivery, Verdict], None]


class LaneTracing:
    """Around the parts of the agent of one topic."""

    def decode(self, decode: Decode) -> Decode:
        """Return what decodes its messages."""
        return decode

    def engine(self, engine: Applies) -> Applies:
        """Return what applies its batches."""
        return engine

    def publisher(self, publisher: Publishes) -> Publishes:
        """Return what publishes what came of them."""
        return publisher

    def see(self, see: See) -> See:
        """Return what is told of each verdict."""
        return see

    def handle(self, handle: Apply) -> Apply:
        """Return what handles its batches as a whole."""
        return handle


class Tracing:
    """Around the parts of a process."""

    def lane(self) -> LaneTracing:
        """Return what is put around one agent."""
        return LaneTracing()

    def middleware(self) -> Middleware | None:
        """Return what begins and ends each request's trace, if it is another than the gateway's own."""
        return None

    def producer(self, producer: Any) -> Any:
        """Return what sends a gateway's commands."""
        return producer

    def connection_class(self) -> "type[Connection[Record]]":
        """Return the class of the connections to Postgres."""
        return asyncpg.Connection

    def client(self) -> list[aiohttp.TraceConfig]:
        """Return what watches the calls to neighbours."""
        return []

    async def stop(self) -> None:
        """Send what was not sent yet, as far as that takes little time."""
