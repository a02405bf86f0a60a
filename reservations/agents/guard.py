"""A guard outside of the event loop: when the loop no longer turns, nothing inside could notice."""

import asyncio
import faulthandler
import os
from collections.abc import Callable
from math import ceil
from threading import Event, Thread

from reservations.agents.stillness import TICK_S, Stillness

STDERR = 2
LOOP = "loop"


class LoopGuard:
    """Ends the process with status 1 and all stacks when its event loop is blocked, or when its end takes too long.

    It counts its own ticks: a process that was stopped and continued is not taken for one that hangs. Code that never
    lets other threads run stops the guard, too.
    """

    def __init__(self, limit_s: float, end: Callable[[str], None] | None = None) -> None:
        self._limit_ticks = ceil(limit_s / TICK_S)
        self._end = end or end_at_once
        self._beats = 0
        self._still = Stillness[str]()
        self._ticks_left: int | None = None
        self._never = Event()  # time.sleep refuses to work where a clock is shifted

    def start(self) -> None:
        """Guard the running loop for as long as the process lives."""
        self._beat(asyncio.get_running_loop())
        Thread(target=self._run, name="loop guard", daemon=True).start()

    def end_within(self, limit_s: float) -> None:
        """Let the process live that long at most."""
        self._ticks_left = ceil(limit_s / TICK_S)

    def tick(self) -> None:
        """Count a tick, and end the process if it was one too many."""
        self._still.see({LOOP: self._beats})
        if self._still.since(self._limit_ticks):
            self._end(f"The event loop was blocked for {self._limit_ticks * TICK_S:.0f} s.")
        if self._ticks_left is not None:
            self._ticks_left -= 1
            if self._ticks_left < 0:
                self._end("The process did not end in time.")

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beats += 1
        loop.call_later(TICK_S / 2, self._beat, loop)

    def _run(self) -> None:
        while not self._never.wait(TICK_S):
            self.tick()


def end_at_once(why: str) -> None:
    """Write why and all threads' stacks to standard error, and end; a log's lock may be held by whoever hangs."""
    os.write(STDERR, f"{why} The process ends with status 1. Where its threads stand:\n".encode())
    faulthandler.dump_traceback(STDERR, all_threads=True)
    os._exit(1)
