"""Token buckets: how often each caller may ask, kept in bounded memory."""

from collections import OrderedDict

MAX_CALLERS = 100_000


class Buckets:
    """A bucket for each caller: it holds a burst of tokens, is refilled at a rate, and each request takes one.

    A bucket is kept as the time at which it is full again; one that is full need not be kept at all.
    """

    def __init__(self, rate_per_s: float, burst: int, max_callers: int = MAX_CALLERS) -> None:
        self._token_s = 1 / rate_per_s
        self._depth_s = burst / rate_per_s
        self._max_callers = max_callers
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller: str, now_s: float) -> float:
        """Take a token; return 0, or the seconds until there is one and nothing taken."""
        full_at = max(self._full_at.get(caller, now_s), now_s) + self._token_s
        wait_s = full_at - now_s - self._depth_s
        if wait_s > self._token_s * 1e-6:  # not what rounding makes
            return wait_s
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        self._forget(now_s)
        return 0

    def _forget(self, now_s: float) -> None:
        """Forget the longest unused bucket when it is full, and in any case when there are too many."""
        for _ in range(2):  # one came in at most, so those who left are gone in time
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now_s and len(self._full_at) <= self._max_callers:
                return
            del self._full_at[oldest]
