"""Whether so many commands wait that no more are taken, and when to ask again."""

from collections import deque

#: Commands are taken again once so much of what may wait does.
RELEASED_AT = 0.8
SHORTEST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
#: How fast the backlog shrinks is judged over so many looks.
LOOKS = 10


class Pressure:
    """The backlog of commands as it was last seen; nothing is refused while it can't be seen."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._seen: deque[tuple[float, int]] = deque(maxlen=LOOKS)
        self._is_over = False

    @property
    def backlog(self) -> int | None:
        """How many commands wait; None while that is not known."""
        return self._seen[-1][1] if self._seen else None

    @property
    def is_over(self) -> bool:
        """Whether no more commands are taken."""
        return self._is_over

    def see(self, backlog: int, now_s: float) -> None:
        """Take in how many commands wait now."""
        self._seen.append((now_s, backlog))
        self._is_over = backlog > self.most * (RELEASED_AT if self._is_over else 1)

    def lose_sight(self) -> None:
        """Take in that it is not known how many commands wait."""
        self._seen.clear()
        self._is_over = False

    def wait_s(self) -> float:
        """Return how long it takes until commands are taken again, as the backlog shrinks now."""
        (first_s, before), (last_s, now) = self._seen[0], self._seen[-1]
        shrunk = before - now
        if shrunk <= 0:
            return LONGEST_WAIT_S
        excess = now - self.most * RELEASED_AT
        return min(max(excess * (last_s - first_s) / shrunk, SHORTEST_WAIT_S), LONGEST_WAIT_S)
