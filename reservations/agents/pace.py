"""The pace of a lane: how much it takes at once, and whether it rests to let others go first."""

import asyncio
from collections.abc import Sequence
from math import inf
from time import monotonic

#: For so long after its last batch a lane is taken to be in use.
IN_USE_S = 1.0
#: Messages taken at once beside a lane in use: a few milliseconds' work.
A_FEW = 10
#: How much longer than its work its rest is then.
REST_FACTOR = 3
LONGEST_REST_S = 0.25


class Pace:
    """As fast as it can: all that waits, up to `most` messages at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._took_at = -inf

    @property
    def is_in_use(self) -> bool:
        """Whether something was taken a short while ago."""
        return monotonic() - self._took_at < IN_USE_S

    def take(self) -> int:
        """Return how many messages may be taken now."""
        self._took_at = monotonic()
        return self.most

    async def rest(self) -> None:
        """Wait until more may be taken."""


class GivingWay(Pace):
    """Beside others in use: a few messages at once, and then a rest of three times as long as they were at work."""

    def __init__(self, most: int, others: Sequence[Pace]) -> None:
        super().__init__(most)
        self._others = others

    def take(self) -> int:
        """Return how many messages may be taken now."""
        most = super().take()
        return min(most, A_FEW) if self._others_are_in_use() else most

    async def rest(self) -> None:
        """Wait until more may be taken."""
        if self._others_are_in_use():
            await asyncio.sleep(min(REST_FACTOR * (monotonic() - self._took_at), LONGEST_REST_S))

    def _others_are_in_use(self) -> bool:
        return any(other.is_in_use for other in self._others)
