"""Looking things up by id: what is remembered, what is asked for, and who waits for it."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar
from uuid import UUID

from reservations.models.eligibility import Absence

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Clock = Callable[[], float]


class ShortMemory(Generic[K, T]):
    """Keeps values for a while, at most so many: the one not used for longest goes first."""

    def __init__(self, max_size: int, clock: Clock) -> None:
        self._max_size = max_size
        self._clock = clock
        self._kept: OrderedDict[K, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: K, value: T, ttl_s: float) -> None:
        """Keep a value for so long."""
        self._kept[key] = (self._clock() + ttl_s, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._max_size:
            self._kept.popitem(last=False)

    def recall(self, key: K) -> T | None:
        """Return a value that is still kept, else None."""
        until, value = self._kept.get(key, (0.0, None))
        if value is None:
            return None
        if self._clock() >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value


@dataclass(slots=True)
class Errand(Generic[T]):
    """A request under way, and how many wait for it."""

    task: "asyncio.Task[T | Absence]"
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Ttls:
    """How long answers are remembered, in seconds: what was found, and that there is nothing."""

    found_s: float
    unknown_s: float


class Lookup(Generic[T]):
    """Looks up many ids at once. Those who ask for the same id share one request; it ends when nobody waits for it."""

    def __init__(
        self,
        ask: Callable[[UUID], Awaitable[T | Absence]],
        memory: ShortMemory[UUID, T | Absence],
        ttls: Ttls,
        on_remembered: Callable[[], None],
    ) -> None:
        """Keep how to ask, which must not raise."""
        self._ask = ask
        self._memory = memory
        self._ttls = ttls
        self._on_remembered = on_remembered
        self._errands: dict[UUID, Errand[T]] = {}

    async def find(self, ids: Collection[UUID], deadline: float) -> dict[UUID, T | Absence]:
        """Return what is known of each id by the deadline (loop time); what is not known by then is UNAVAILABLE."""
        found = self._remembered(ids)
        errands = {key: self._join(key) for key in set(ids) - found.keys()}
        try:
            if errands:
                left_s = deadline - asyncio.get_running_loop().time()
                await asyncio.wait([errand.task for errand in errands.values()], timeout=max(0.0, left_s))
            return found | {key: _answer(errand.task) for key, errand in errands.items()}
        finally:
            for key, errand in errands.items():
                self._leave(key, errand)

    def _remembered(self, ids: Collection[UUID]) -> dict[UUID, T | Absence]:
        found = {key: value for key in set(ids) if (value := self._memory.recall(key)) is not None}
        for _ in found:
            self._on_remembered()
        return found

    def _join(self, key: UUID) -> Errand[T]:
        errand = self._errands.get(key)
        if errand is None:
            errand = self._errands[key] = Errand(asyncio.create_task(self._run(key)))
            errand.task.add_done_callback(partial(self._forget, key))
        errand.waiting += 1
        return errand

    def _leave(self, key: UUID, errand: Errand[T]) -> None:
        errand.waiting -= 1
        if errand.waiting == 0 and not errand.task.done():
            errand.task.cancel()
            self._forget(key, errand.task)

    def _forget(self, key: UUID, task: "asyncio.Task[T | Absence]") -> None:
        if key in self._errands and self._errands[key].task is task:
            del self._errands[key]

    async def _run(self, key: UUID) -> T | Absence:
        answer = await self._ask(key)
        if answer is Absence.UNKNOWN:
            self._memory.keep(key, answer, self._ttls.unknown_s)
        elif answer is not Absence.UNAVAILABLE:
            self._memory.keep(key, answer, self._ttls.found_s)
        return answer


def _answer(task: "asyncio.Task[T | Absence]") -> T | Absence:
    return task.result() if task.done() and not task.cancelled() else Absence.UNAVAILABLE
