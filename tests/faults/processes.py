"""Processes that faults befall: they can be killed, frozen and started again."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress

from reservations.app.stack.programs import Program, spawn
from tests.conditions import eventually

RESTART_PAUSE_S = 0.2
READY_LIMIT_S = 60
STOP_LIMIT_S = 15

Ready = Callable[[], Awaitable[bool]]


class Kept:
    """A program that, once started, is started again when it ends by itself, as a supervisor would do it.

    `ends` holds the exit statuses so far; a signal's number is negative.
    """

    def __init__(self, program: Program, ready: Ready) -> None:
        self.program = program
        self.ready = ready
        self.ends: list[int] = []
        self._process: Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._wanted = False

    @property
    def name(self) -> str:
        """Return the program's name."""
        return self.program.name

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    async def launch(self) -> None:
        """Start the program; return at once."""
        self._wanted = True
        await self._spawn()
        self._keeping = asyncio.create_task(self._keep())

    async def start(self) -> None:
        """Start the program; return when it is ready."""
        await self.launch()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until it is ready."""
        await eventually(self.ready, limit_s=READY_LIMIT_S, every_s=0.05)

    def pause(self) -> None:
        """Leave it as it is when it ends the next time."""
        self._wanted = False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """Kill the process; return when it is gone, perhaps already started again."""
        before = len(self.ends)
        self.send(signal.SIGKILL)
        await self.ended(before)

    async def ended(self, before: int, limit_s: float = READY_LIMIT_S) -> None:
        """Wait until it has ended more often than `before`."""

        async def look() -> bool:
            return len(self.ends) > before

        await eventually(look, limit_s=limit_s)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """End it for good, politely first; return its last exit status."""
        self._wanted = False
        self.send(signal.SIGCONT)
        self.send(number)
        if self._keeping:
            await asyncio.wait({self._keeping}, timeout=STOP_LIMIT_S)
            self.send(signal.SIGKILL)
            await self._keeping
        return self.ends[-1] if self.ends else None

    async def restart(self) -> None:
        """End it politely and start it again; return when it is ready."""
        await self.stop()
        await self.start()

    async def _spawn(self) -> None:
        with self.program.output.open("ab") as log:
            self._process = await spawn(self.program, log.fileno())

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            self.ends.append(await self._process.wait())
            if not self._wanted:
                return
            await asyncio.sleep(RESTART_PAUSE_S)
            if not self._wanted:
                return
            await self._spawn()
