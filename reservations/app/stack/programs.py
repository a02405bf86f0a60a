"""Programs that the stack runs: how they are described, started, awaited and ended."""

import asyncio
import os
import pwd
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

LAUNCHER = Path(__file__).with_name("launcher.py")
SWEEP_LIMIT_S = 0.3


class StackError(Exception):
    """The embedded stack can't do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class User:
    """An operating-system user that a program runs as."""

    name: str
    uid: int
    gid: int

    @classmethod
    def by_uid(cls, uid: int) -> Self:
        """Return the user with this number, even if it has no name."""
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return cls(str(uid), uid, uid)
        return cls(entry.pw_name, uid, entry.pw_gid)

    @classmethod
    def unprivileged(cls) -> Self:
        """Return the user for programs that refuse root: `postgres` where it exists, else `nobody`."""
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(name, entry.pw_uid, entry.pw_gid)
        raise StackError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as.")

    def reaches(self, path: Path) -> bool:
        """Tell whether this user may enter the folder `path`, or run the file `path`."""
        test = ["/bin/sh", "-c", 'test -x "$0"', str(path)]
        asked = subprocess.run(test, user=self.uid, group=self.gid, extra_groups=[], cwd="/", check=False)  # noqa: S603
        return asked.returncode == 0


@dataclass(frozen=True)
class Program:
    """A program to run: it gets a session of its own, so that a terminal's Ctrl-C does not reach it.

    `stop_signals` are sent one after the other: the first gets `stop_limit_s` to work, the others a moment each.
    `orphan_signal` is sent by the kernel when the process that started the program is gone (Linux).
    `output` is the file its output is added to; with `echo` it goes to our standard output as well. With `inherits` it
    goes to where ours goes, as it comes, and to no file.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    output: Path = Path(os.devnull)
    echo: bool = False
    inherits: bool = False
    user: User | None = None
    cwd: Path | None = None
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)
    stop_limit_s: float = 2
    orphan_signal: signal.Signals = signal.SIGTERM

    def command(self) -> list[str]:
        """Return the command line that starts the program from this very process."""
        uid, gid = (self.user.uid, self.user.gid) if self.user else (-1, -1)
        numbers = (os.getpid(), int(self.orphan_signal), uid, gid)
        return [sys.executable, "-I", "-S", str(LAUNCHER), *map(str, numbers), *self.argv]


async def spawn(program: Program, output: IO[bytes] | int, stdin: int = DEVNULL) -> Process:
    """Start the program, writing to `output`. Call it from the main thread: the child ends when its thread ends."""
    return await asyncio.create_subprocess_exec(
        *program.command(),
        env=program.env,
        cwd=program.cwd,
        stdin=stdin,
        stdout=None if program.inherits else output,
        stderr=None if program.inherits else STDOUT,
        start_new_session=True,
    )


async def end(process: Process, program: Program) -> None:
    """End a started program: politely first, then by force."""
    limit_s = program.stop_limit_s
    for number in program.stop_signals:
        if process.returncode is not None:
            return
        send(process.pid, number)
        exited = asyncio.ensure_future(process.wait())
        await asyncio.wait({exited}, timeout=limit_s)
        if exited.done():
            return
        exited.cancel()
        limit_s = SWEEP_LIMIT_S
    await process.wait()


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child that leads its own process group; SIGKILL goes to the whole group."""
    try:
        if number == signal.SIGKILL:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return


async def complete(program: Program, given: str = "") -> str:
    """Run a program to its end with `given` as its input; return its output, which is also added to its file.

    Raises StackError with its last lines when it fails. When cancelled, the program is ended first.
    """
    process = await spawn(program, PIPE, PIPE)
    try:
        written, _ = await process.communicate(given.encode())
    finally:
        await end(process, program)
    with program.output.open("ab") as file:
        file.write(written)
    text = written.decode(errors="replace")
    if process.returncode:
        ending = "\n".join(f"  {line}" for line in text.splitlines()[-12:])
        raise StackError(f"{program.name} failed ({describe(process.returncode)}):\n{ending}")
    return text


def describe(code: int | None) -> str:
    """Put an exit status into words."""
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"


def last_lines(path: Path, count: int = 12) -> list[str]:
    """Return the last lines of a log file, none if there is no such file."""
    try:
        with path.open(errors="replace") as file:
            return [line.rstrip() for line in deque(file, count)]
    except FileNotFoundError:
        return []
