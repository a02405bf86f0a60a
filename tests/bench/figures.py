"""Figures of many measurements, and of many runs."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p99_9_ms": 0.999, "max_ms": 1.0}


def latencies(took_s: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of times in seconds, as milliseconds; each is a time that was measured (nearest rank)."""
    ranked = sorted(took_s)
    return {
        name: round(1000 * ranked[max(0, math.ceil(share * len(ranked)) - 1)], 2) for name, share in PERCENTILES.items()
    }


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the median over runs of each figure that all of them have."""
    shared = set.intersection(*(set(run) for run in runs))
    numeric = [name for name in runs[0] if name in shared and isinstance(runs[0][name], int | float)]
    return {name: round(median(run[name] for run in runs), 2) for name in numeric}


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used (proc(5), stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine_busy_s() -> float:
    """Return the CPU time that the whole machine has used, whoever used it: tells whether others were at work."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Return the resident size of a process (proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
