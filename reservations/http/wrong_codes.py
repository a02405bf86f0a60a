"""Who tried how many wrong confirmation codes lately, kept in bounded memory."""

from collections import OrderedDict
from collections.abc import Iterable

MAX_KEYS = 100_000


class WrongTries:
    """Wrong tries in a sliding window, by whatever they are counted by."""

    def __init__(self, allowed: int, window_s: float, max_keys: int = MAX_KEYS) -> None:
        self._allowed = allowed
        self._window_s = window_s
        self._max_keys = max_keys
        self._tries: OrderedDict[str, tuple[float, ...]] = OrderedDict()  # the last ones of each, oldest first

    def __len__(self) -> int:
        return len(self._tries)

    def locked_s(self, keys: Iterable[str], now_s: float) -> float:
        """Return for how many seconds no more tries are taken; 0 when they are."""
        return max((self._locked_s(key, now_s) for key in keys), default=0.0)

    def note(self, keys: Iterable[str], now_s: float) -> None:
        """Count a wrong try."""
        for key in keys:
            self._tries[key] = (*self._tries.get(key, ()), now_s)[-self._allowed :]
            self._tries.move_to_end(key)
        self._forget(now_s)

    def _locked_s(self, key: str, now_s: float) -> float:
        tries = self._tries.get(key, ())
        if len(tries) < self._allowed:
            return 0.0
        oldest_s = tries[0]
        return max(0.0, oldest_s + self._window_s - now_s)

    def _forget(self, now_s: float) -> None:
        """Forget the keys whose last try is out of the window, and the oldest when there are too many."""
        while self._tries:
            oldest = next(iter(self._tries))
            if self._tries[oldest][-1] + self._window_s > now_s and len(self._tries) <= self._max_keys:
                return
            del self._tries[oldest]
