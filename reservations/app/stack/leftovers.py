"""Postgres processes that an earlier run left behind on a data folder, and how to end them."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reservations.app.stack.programs import StackError

FAST_LIMIT_S, IMMEDIATE_LIMIT_S, KILL_LIMIT_S = 5.0, 2.0, 2.0
POLL_S = 0.05


def postmaster(data: Path) -> int | None:
    """Return the process id that the data folder's `postmaster.pid` tells, alive or not; None without one."""
    try:
        first = (data / "postmaster.pid").read_text().split("\n", 1)[0].strip()
    except FileNotFoundError:
        return None
    return int(first) if first.isdigit() else None


def processes(data: Path) -> list[int]:
    """Return the Postgres processes that work in this data folder, the postmaster first.

    On Linux those are told by their working folder, so that the children of a killed postmaster are found too;
    elsewhere only the postmaster is looked for, by its command line.
    """
    told = postmaster(data)
    found = list(by_working_folder(data)) if Path("/proc/self/cwd").exists() else list(by_command_line(told, data))
    return sorted(found, key=lambda pid: pid != told)


def by_working_folder(data: Path) -> Iterator[int]:
    """Yield the processes named postgres whose working folder is the data folder."""
    folder = data.resolve()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink() == folder and "postgres" in (entry / "comm").read_text():
                yield int(entry.name)


def by_command_line(pid: int | None, data: Path) -> Iterator[int]:
    """Yield `pid` if it is a postgres that was started on the data folder."""
    if pid is None:
        return
    asked = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    command = subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603
    if "postgres" in command and str(data) in command:
        yield pid


async def clear(data: Path) -> bool:
    """End what still runs on the data folder and remove its stale `postmaster.pid`; tell whether anything ran.

    The file goes only when nothing runs any more: it is what keeps two servers off the same data.
    """
    found = bool(processes(data))
    if found and not await ended(data):
        raise StackError(f"A Postgres of an earlier run does not end: processes {processes(data)} on {data}.")
    if (data / "postmaster.pid").exists():
        (data / "postmaster.pid").unlink()
    return found


async def ended(data: Path) -> bool:
    """End the processes of a data folder: a fast shutdown, then an immediate one, then by force."""
    steps = (
        (signal.SIGINT, FAST_LIMIT_S),
        (signal.SIGQUIT, IMMEDIATE_LIMIT_S),
        (signal.SIGKILL, KILL_LIMIT_S),
    )
    for number, limit_s in steps:
        for pid in processes(data)[: None if number == signal.SIGKILL else 1]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if await gone(data, limit_s):
            return True
    return False


async def gone(data: Path, limit_s: float) -> bool:
    """Wait until nothing runs on the data folder; tell whether that came true in time."""
    deadline = asyncio.get_running_loop().time() + limit_s
    while processes(data):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
