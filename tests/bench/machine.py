"""What machine the figures are from: how many cores, how fast its disk syncs, and how idle it was meanwhile."""

import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

BLOCK_BYTES = 8192
LOOKED_S = 2
CPU_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
FSYNC_LINE = re.compile(r"^\s*fdatasync\s+([\d.]+) ops/sec", re.MULTILINE)
IDLE_FIELDS = slice(3, 5)  # idle and iowait
COUNTED_FIELDS = slice(0, 8)  # guests' time, behind these, is in them already


@dataclass(frozen=True, slots=True)
class Machine:
    """What a figure depends on beside the program."""

    cores: int
    cpu: str
    kernel: str
    python: str
    fdatasyncs_per_second: float
    """How often 8 KB in a file reach the disk of the database's data folder, one after the other."""
    load: float
    """Processes that ran or waited in the last minute, before anything was measured."""

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def this_machine(data: Path, programs: Path) -> Machine:
    """Look at this machine; `data` lies on the disk of interest, `programs` are PostgreSQL's."""
    load = round(os.getloadavg()[0], 2)
    cpu = cpu_in(_text(Path("/proc/cpuinfo"))) or platform.machine()
    return Machine(
        os.cpu_count() or 1, cpu, platform.release(), platform.python_version(), _fsyncs(data, programs), load
    )


def cpu_in(cpuinfo: str) -> str:
    """Return the model in the text of /proc/cpuinfo, if it names one."""
    found = CPU_MODEL.search(cpuinfo)
    return found[1].strip() if found else ""


def fsyncs_in(output: str) -> float | None:
    """Return the first figure for fdatasync in what pg_test_fsync prints: that for one block of 8 KB."""
    found = FSYNC_LINE.search(output)
    return float(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Ticks:
    """The processors' time since the start of the machine, in ticks."""

    idle: int
    total: int

    def idle_share_until(self, later: "Ticks") -> float:
        """Return the share of the time between that the processors were idle."""
        return round((later.idle - self.idle) / max(1, later.total - self.total), 3)


def ticks_in(stat: str) -> Ticks:
    """Return the processors' time from the text of /proc/stat; nothing where it has none."""
    first = stat.partition("\n")[0].split()
    ticks = [int(field) for field in first[1:]] if first[:1] == ["cpu"] else []
    return Ticks(sum(ticks[IDLE_FIELDS]), sum(ticks[COUNTED_FIELDS]))


def ticks() -> Ticks:
    """Read the processors' time."""
    return ticks_in(_text(Path("/proc/stat")))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _fsyncs(data: Path, programs: Path) -> float:
    """Ask PostgreSQL's own program, if it is there; else try."""
    file = data / "bench-fsync"
    program = programs / "pg_test_fsync"
    told = _asked(program, file) if program.exists() else None
    return told if told is not None else _tried(file)


def _asked(program: Path, file: Path) -> float | None:
    """Read what the program prints, up to the line of interest: all its tests take a minute."""
    command = [str(program), f"--filename={file}", f"--secs-per-test={LOOKED_S}"]
    output = ""
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                output += line
                if fsyncs_in(output) is not None:
                    break
            process.terminate()
    finally:
        file.unlink(missing_ok=True)
    return fsyncs_in(output)


def _tried(file: Path) -> float:
    block, count, began = bytes(BLOCK_BYTES), 0, monotonic()
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while monotonic() < began + LOOKED_S:
            os.pwrite(handle, block, 0)
            os.fdatasync(handle)
            count += 1
        return round(count / (monotonic() - began), 1)
    finally:
        os.close(handle)
        file.unlink()
