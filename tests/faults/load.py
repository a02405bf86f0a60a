"""The load of a round: callers over REST, producers in both lanes, payments; all drawn from a seed.

Always among it: 5 % duplicates, 20 % of the payments before their booking, 2 % out of order, 0.5 % poison, 10 % of the
changes on a stale revision, and a trip date that sells out.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from tests.faults.callers import Caller
from tests.faults.chance import Chance
from tests.faults.deployment import BULK, COMMANDS, Deployment
from tests.faults.journal import Journal
from tests.faults.producers import StoryTeller
from tests.faults.sends import Sends

REST_CLIENTS = 4
RESOLVE_LIMIT_S = 60
LONG_REST_S = 0.5
A_LOT = 1800


@dataclass
class Load:
    """All callers and producers of a round.

    `is_light` makes them slow, for a fault that takes long; so does having sent a lot, for a service that is slow.
    """

    deployment: Deployment
    journal: Journal
    seed: str
    is_light: bool = False
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _give_up_at: float = float("inf")

    def __post_init__(self) -> None:
        """Make what all of them send with."""
        self._sends = Sends(self.deployment.kafka, self.deployment.prefix, self.journal)

    async def start(self) -> None:
        """Begin."""
        await self._sends.start()
        for n in range(REST_CLIENTS):
            self._add(self._caller(f"rest {n}").call())
        for lane in (COMMANDS, BULK):
            self._add(StoryTeller(lane, self._sends, self, Chance(f"{self.seed} {lane}")).tell())

    async def stop(self) -> None:
        """Ask nothing new, and wait until everything that was asked is answered or given up."""
        self._give_up_at = monotonic() + RESOLVE_LIMIT_S
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._sends.stop()

    async def probe(self) -> None:
        """Book until that is answered."""
        await self._caller("probe").book()

    @property
    def goes_on(self) -> bool:
        """Whether something new may be asked."""
        return not self._stopping.is_set()

    @property
    def is_over(self) -> bool:
        """Whether even what was not answered is given up."""
        return monotonic() > self._give_up_at

    async def rest(self, least_s: float = 0.0) -> None:
        """Pause between two things, less long when the load stops."""
        has_sent_a_lot = len(self.journal.all("sent")) > A_LOT
        pause_s = LONG_REST_S if self.is_light or has_sent_a_lot else least_s
        if pause_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _caller(self, name: str) -> Caller:
        return Caller(self.deployment, self.journal, self._sends, self, Chance(f"{self.seed} {name}"))

    def _add(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))
