"""Keeps programs running: starts them again when they end, tells what they say, stops them in order."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import IO

from reservations.app.stack.programs import Program, StackError, describe, end, last_lines, spawn

FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 5.0
STEADY_AFTER_S = 30.0
DRAIN_LIMIT_S = 1.0
POLL_S = 0.05
ENDS_BEFORE_GIVING_UP = 3

Say = Callable[[str], None]
Hook = Callable[[], Awaitable[None]]


def say(line: str) -> None:
    """Write a line to our standard output, if anybody still reads that."""
    with suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class Child:
    """One program that is kept running from `start` to `stop`.

    `again` is awaited each time it was started again after it ended by itself; if that fails, so does the program.
    """

    def __init__(self, program: Program, say: Say, again: Hook | None = None) -> None:
        """Keep what to run; nothing is started."""
        self.program = program
        self.ends = 0
        self._say = say
        self._again = again
        self._stopped = False
        self._end = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the program running."""
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    def restart(self) -> None:
        """End the program and start it again at once."""
        self._end.set()

    async def stop(self) -> None:
        """End the program for good, by force after its limit."""
        self._stopped = True
        self._end.set()
        if self._keeping:
            await self._keeping

    async def _keep(self) -> None:
        delay_s, clock, hook = FIRST_DELAY_S, asyncio.get_running_loop().time, None
        while not self._stopped:
            started = clock()
            code = await self._run(hook)
            hook = self._again
            if self._end.is_set():
                self._end.clear()
                continue
            self.ends += 1
            delay_s = FIRST_DELAY_S if clock() - started > STEADY_AFTER_S else delay_s
            self._say(f"{self.program.name} ended ({describe(code)}); it is started again in {delay_s:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), delay_s)
            self._end.clear()
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

    async def _run(self, hook: Hook | None) -> int | None:
        """Run the program once; return its exit status, None if it could not even be started."""
        with ExitStack() as stack:
            try:
                log = stack.enter_context(self.program.output.open("ab", buffering=0))
                process = await spawn(self.program, PIPE if self.program.echo else log)
            except OSError as error:
                self._say(f"{self.program.name} can't be started: {error}")
                return None
            tasks = [asyncio.create_task(self._forward(process, log))]
            if hook:
                tasks.append(asyncio.create_task(self._call(hook, process)))
            try:
                await self._ended(process)
                await asyncio.wait(tasks[:1], timeout=DRAIN_LIMIT_S)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return process.returncode

    async def _ended(self, process: Process) -> None:
        ends = [asyncio.create_task(process.wait()), asyncio.create_task(self._end.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        await end(process, self.program)

    async def _call(self, hook: Hook, process: Process) -> None:
        try:
            await hook()
        except Exception as error:
            self._say(f"{self.program.name} is not usable: {error}")
            with suppress(ProcessLookupError):
                process.kill()

    async def _forward(self, process: Process, log: IO[bytes]) -> None:
        if process.stdout is None:
            return
        rest = b""
        while read := await process.stdout.read(65536):
            with suppress(OSError):  # a full disk must not block the program
                log.write(read)
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                self._say(f"{self.program.name:7} | {line.decode(errors='replace')}")
        if rest:
            self._say(f"{self.program.name:7} | {rest.decode(errors='replace')}")


class Supervisor:
    """The programs that are kept running, in the order they were started."""

    def __init__(self, say: Say = say) -> None:
        """Begin with none."""
        self.children: dict[str, Child] = {}
        self._say = say

    def keep(self, program: Program, again: Hook | None = None) -> Child:
        """Start a program and keep it running; see Child for `again`."""
        child = self.children[program.name] = Child(program, self._say, again)
        child.start()
        return child

    def restart(self, *names: str) -> None:
        """End these programs, where they run, and start them again at once."""
        for name in names:
            if name in self.children:
                self.children[name].restart()

    async def stop(self) -> None:
        """End all programs, the last started first, each within its own limit."""
        while self.children:
            _, child = self.children.popitem()
            await child.stop()

    async def until(self, child: Child, ready: Callable[[], Awaitable[bool]], limit_s: float) -> None:
        """Wait until the program is ready. Raises StackError, with its last lines, when that takes too long."""
        deadline, most_ends = asyncio.get_running_loop().time() + limit_s, child.ends + ENDS_BEFORE_GIVING_UP
        while not await ready():
            if child.ends >= most_ends:
                raise StackError(self._report(child, f"ended {ENDS_BEFORE_GIVING_UP} times while it was starting"))
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(self._report(child, f"was not ready after {limit_s:.0f} s"))
            await asyncio.sleep(POLL_S)

    @staticmethod
    def _report(child: Child, failure: str) -> str:
        ending = "".join(f"\n  {line}" for line in last_lines(child.program.output))
        return f"{child.program.name} {failure}. The end of {child.program.output}:{ending}"
