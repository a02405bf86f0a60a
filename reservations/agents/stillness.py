"""Noticing that nothing happens, by counting ticks: a process that was held up wakes with its counts as they were."""

from collections.abc import Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")

#: Seconds between two ticks of everything that counts them.
TICK_S = 1.0


class Stillness(Generic[Key]):
    """Counts for how many ticks each thing has shown the same sign.

    Ticks, not the clock: what was stopped and continued, or starved of processor time, has not ticked meanwhile.
    """

    def __init__(self) -> None:
        self._signs: dict[Key, object] = {}
        self.ticks: dict[Key, int] = {}

    def see(self, signs: Mapping[Key, object]) -> None:
        """Count a tick for each thing whose sign is as it was; forget what is no longer there."""
        self.ticks = {
            key: self.ticks[key] + 1 if key in self.ticks and self._signs[key] == sign else 0
            for key, sign in signs.items()
        }
        self._signs = dict(signs)

    def clear(self) -> None:
        """Begin to count anew."""
        self.ticks.clear()

    def since(self, ticks: int) -> list[Key]:
        """Return what has been still for so many ticks."""
        return [key for key, count in self.ticks.items() if count >= ticks]
