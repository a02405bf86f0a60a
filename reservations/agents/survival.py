"""How a batch survives what goes wrong: the database away, or one command that breaks it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from reservations.agents.engine import Applies
from reservations.models.commands import AnyCommand
from reservations.models.worksheet import Outcome
from reservations.tables.database import StaleWriteError

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
MAX_RACES = 5

T = TypeVar("T")

#: Another transaction was first: doing it all again sees what that one did.
RACES = (
    asyncpg.UniqueViolationError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    StaleWriteError,
)
#: The server is away, or not ready, or full: later it is not.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # as a database that lets nobody in for now
)
#: The server is there, but not as this release needs it: only a person can mend that.
MISFITS = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,
)


def postgres_is_away(error: BaseException) -> bool:
    """Tell whether an error means that Postgres can't be reached now."""
    # What asyncpg can't encode is an InterfaceError too, but also a ValueError: the data's fault, not the server's.
    return isinstance(error, AWAY) and not isinstance(error, (ValueError, *RACES))


def kafka_is_away(error: BaseException) -> bool:
    """Tell whether an error means that the broker can't be reached now."""
    return isinstance(error, OSError | TimeoutError | KafkaConnectionError | KafkaTimeoutError) or (
        isinstance(error, KafkaError) and error.retriable
    )


def error_name(error: Exception) -> str:
    """Return the error's name, and the SQLSTATE if it has one; never its text, which may repeat the data."""
    sqlstate = getattr(error, "sqlstate", None)
    return type(error).__name__ + (f" ({sqlstate})" if sqlstate else "")


class StoppingError(Exception):
    """The process is stopping; what was not finished is left to be delivered again."""


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A command that breaks the program or the database, and the name of the error."""

    command: AnyCommand
    error: str


class Patience:
    """Repeats what fails for want of a server, until it is back or the process stops.

    `attempts` counts what was tried: while it grows, nothing hangs.
    """

    def __init__(self, stopping: asyncio.Event, on_wait: Callable[[str, bool], None]) -> None:
        self.attempts = 0
        self._stopping = stopping
        self._on_wait = on_wait

    async def insist(self, what: str, act: Callable[[], Awaitable[T]], is_away: Callable[[BaseException], bool]) -> T:
        """Return what act returns, however often it must be tried.

        Raises:
            StoppingError: the process stops while the server is away.

        """
        pause_s = FIRST_PAUSE_S
        while True:
            self.attempts += 1
            try:
                result = await act()
            except Exception as error:
                if not is_away(error):
                    raise
                await self._wait(what, error, pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self._on_wait(what, False)
                return result

    async def _wait(self, what: str, error: Exception, pause_s: float) -> None:
        self._on_wait(what, True)
        _log().warning("server_away", server=what, error=error_name(error), pause_s=pause_s)
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return
        raise StoppingError from error


class Survivor:
    """Applies a batch whatever it holds: a command that can't be applied is set apart, alone."""

    def __init__(self, engine: Applies, patience: Patience) -> None:
        self._engine = engine
        self._patience = patience

    async def apply(self, commands: Sequence[AnyCommand]) -> list[Outcome | Poisoned]:
        """Return an outcome for each command, in their order.

        Raises:
            StoppingError: the process stops while the database is away.
            asyncpg.PostgresError: the database is not as this release needs it.

        """
        try:
            return list(await self._apply_against_others(commands))
        except (StoppingError, *MISFITS):
            raise
        except Exception as error:
            if len(commands) == 1:
                _log().error("command_breaks", command_id=str(commands[0].command_id), error=error_name(error))
                return [Poisoned(commands[0], error_name(error))]
        middle = len(commands) // 2
        return [*await self.apply(commands[:middle]), *await self.apply(commands[middle:])]

    async def _apply_against_others(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        for _ in range(MAX_RACES):
            try:
                return await self._apply(commands)
            except RACES as error:
                _log().info("race_lost", error=error_name(error))
        return await self._apply(commands)

    async def _apply(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        return await self._patience.insist("Postgres", lambda: self._engine.apply(commands), postgres_is_away)


def _log() -> structlog.typing.FilteringBoundLogger:
    return structlog.get_logger()  # type: ignore[no-any-return]
