"""The watchdog's judgement: what counts as being stuck, from what is seen once a tick. No I/O."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import ceil

from faust.types import TP

from reservations.agents.stillness import TICK_S, Stillness

QUESTIONS_PER_LIMIT = 6


class StuckError(Exception):
    """Messages wait and nothing gets on; only a restart helps."""


@dataclass(frozen=True, slots=True)
class Work:
    """The oldest message that a lane has not acknowledged; `sign` changes with each sign of the lane's life."""

    tp: TP
    offset: int
    sign: object


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at a tick: what lanes have in work, by topic, and the next offset of partitions free to be read."""

    in_work: Mapping[str, Work] = field(default_factory=dict)
    positions: Mapping[TP, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stuck:
    """Where it is stuck, since when, and whether the message is in work or was never read."""

    what: str
    tp: TP
    offset: int
    seconds: float


class Watchdog:
    """Decides from one sight a tick, and from what an independent reader finds, whether the worker is stuck.

    A lane is stuck when it has a message in work and shows no sign of life. A partition is stuck when its position
    stays where an independent reader finds a record: the end of a log proves nothing, offsets may be left out of it.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_ticks = ceil(limit_s / TICK_S)
        self._every = max(1, self.limit_ticks // QUESTIONS_PER_LIMIT)
        self._sight = Sight()
        self._lanes = Stillness[str]()
        self._positions = Stillness[TP]()
        self._found: Mapping[TP, int] = {}
        self._unread = Stillness[TP]()
        self._until_question = self._every

    @property
    def seconds(self) -> float:
        """How long nothing has happened where something waits."""
        return max((*self._lanes.ticks.values(), *self._unread.ticks.values()), default=0) * TICK_S

    def see(self, sight: Sight) -> None:
        """Take in what is seen at this tick."""
        self._sight = sight
        self._until_question -= 1
        self._lanes.see({topic: work.sign for topic, work in sight.in_work.items()})
        self._positions.see(sight.positions)
        self._found = {tp: offset for tp, offset in self._found.items() if sight.positions.get(tp) == offset}
        self._unread.see(self._found)

    def stuck(self) -> Stuck | None:
        """Return where it is stuck, if it is."""
        for topic in self._lanes.since(self.limit_ticks):
            work = self._sight.in_work[topic]
            return Stuck("in work", work.tp, work.offset, self._lanes.ticks[topic] * TICK_S)
        for tp in self._unread.since(self.limit_ticks):
            return Stuck("not read", tp, self._found[tp], self._unread.ticks[tp] * TICK_S)
        return None

    def question(self) -> Mapping[TP, int] | None:
        """Return where to look for unread records, maybe nowhere; None when the broker need not be asked now."""
        still = self._positions.since(self._every)
        if self._until_question > 0 or not (still or self._lanes.since(self._every)):
            return None
        self._until_question = self._every
        return {tp: self._sight.positions[tp] for tp in still}

    def learn(self, asked: Mapping[TP, int], found: Collection[TP] | None) -> None:
        """Take in where there are records to read; None: the broker does not answer, so nobody could get on."""
        if found is None:
            self._lanes.clear()
            self._unread.clear()
        else:
            self._found = {**self._found, **{tp: asked[tp] for tp in found}}
