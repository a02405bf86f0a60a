"""Places in the life of a batch where a worker dies when told to, and one where it dawdles.

A file in the folder of switches, named like the failpoint, arms it for the next worker that comes by, once.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

from reservations.agents import engine
from reservations.agents.commands import CommandAgent
from reservations.agents.engine import Engine
from reservations.agents.intake import Lane
from reservations.agents.publications import Publication
from reservations.agents.publisher import Publisher

FAILPOINTS = (
    "after-consume",
    "after-begin",
    "after-inbox",
    "before-commit",
    "after-commit",
    "between-events",
    "after-publish",
    "before-acknowledge",
)
SLOW = "slow"
SLOW_S = 2.0

Act = Callable[..., Awaitable[Any]]


class Switches:
    """A folder of files that switch things on in a running worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Return the file that switches something on."""
        return self._folder / name

    def take(self, name: str) -> bool:
        """Switch something off; tell whether it was on."""
        try:
            self.path(name).unlink()
        except FileNotFoundError:
            return False
        return True

    def die_if(self, name: str) -> None:
        """Die here and now, if the failpoint is armed."""
        if self.take(name):
            os.kill(os.getpid(), signal.SIGKILL)


def install(switches: Switches) -> None:
    """Put every failpoint into the code of the worker."""

    def before(place: Any, member: str, name: str) -> None:
        act: Callable[..., Any] = getattr(place, member)

        @wraps(act)
        def dying(*args: Any, **kwargs: Any) -> Any:
            switches.die_if(name)
            return act(*args, **kwargs)

        setattr(place, member, dying)

    def after(place: Any, member: str, name: str) -> None:
        act: Act = getattr(place, member)

        @wraps(act)
        async def dying(*args: Any, **kwargs: Any) -> Any:
            result = await act(*args, **kwargs)
            switches.die_if(name)
            return result

        setattr(place, member, dying)

    before(CommandAgent, "handle", "after-consume")
    before(Engine, "_open", "after-begin")
    after(engine, "read_at_once", "after-inbox")
    after(engine, "write", "before-commit")
    after(Engine, "apply", "after-commit")
    after(Publisher, "publish", "after-publish")
    before(Lane, "_acknowledge", "before-acknowledge")
    _die_between_events(switches)
    _dawdle(switches)


def _die_between_events(switches: Switches) -> None:
    publish = Publisher._publish

    async def dying(self: Publisher, publications: Iterable[Publication]) -> None:
        told = list(publications)
        if len(told) > 1 and switches.path("between-events").exists():
            await publish(self, told[: len(told) // 2])
            switches.die_if("between-events")
        await publish(self, told)

    Publisher._publish = dying  # type: ignore[method-assign]


def _dawdle(switches: Switches) -> None:
    apply = Engine.apply

    async def slow(self: Engine, commands: Any) -> Any:
        if switches.path(SLOW).exists():
            await asyncio.sleep(SLOW_S)
        return await apply(self, commands)

    Engine.apply = slow  # type: ignore[method-assign]
