"""The engine: applies a batch of commands in one transaction, each once, and says what is to be published."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from reservations.agents.batch import Batch, Outcome
from reservations.models.commands import Command
from reservations.models.decisions import Context
from reservations.tables import inbox, reservations

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection, AnyPool


class Applies(Protocol):
    """Anything that applies a batch of commands: the engine, and what is wrapped around it."""

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Apply commands in their order; return an outcome for each."""


class Months(Protocol):
    """The months that can be booked into."""

    @property
    def first(self) -> datetime:
        """The first instant of the first month."""

    @property
    def end(self) -> datetime:
        """The first instant after the last month."""


class Engine:
    """Applies batches over a pool of connections."""

    def __init__(self, pool: "AnyPool", months: Months, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._pool = pool
        self._months = months
        self._clock = clock

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Apply the commands in their order, all in one transaction; return an outcome for each.

        Raises:
            asyncpg.PostgresError: nothing was applied.

        """
        if not commands:
            return []
        async with self._pool.acquire() as connection, connection.transaction():
            batch = await self._open(connection, commands)
            outcomes = [batch.handle(command) for command in commands]
            await batch.write(connection)
        return outcomes

    async def _open(self, connection: "AnyConnection", commands: Sequence[Command]) -> Batch:
        seen = await inbox.of_messages(connection, {command.command_id for command in commands})
        named = {c.reservation_id for c in commands if c.reservation_id and c.command_id not in seen}
        states = await reservations.lock(connection, named)
        return Batch(seen, states, Context(self._clock(), self._months.first, self._months.end))
