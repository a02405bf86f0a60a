"""What an examination finds: of each check how it went, and what to do."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name as `area.what`, how it went, what was seen, and the cure where one is needed."""

    check: str
    verdict: Verdict
    seen: str
    cure: str | None = None
    seconds: float | None = None

    def row(self) -> dict[str, Any]:
        """Return it fit for JSON."""
        return {
            "check": self.check,
            "verdict": self.verdict,
            "seen": self.seen,
            "cure": self.cure,
            "seconds": self.seconds and round(self.seconds, 4),
        }

    def lines(self) -> list[str]:
        """Return it for a person."""
        took = f" ({self.seconds * 1000:.0f} ms)" if self.seconds is not None else ""
        first = f"{self.verdict:<8} {self.check:<24} {self.seen}{took}"
        return [first, f"{'':<8} {'':<24} -> {self.cure}"] if self.cure else [first]


def ok(check: str, seen: str, seconds: float | None = None) -> Finding:
    """Return the finding that all is well."""
    return Finding(check, Verdict.OK, seen, seconds=seconds)


def wrong(check: str, seen: str, cure: str) -> Finding:
    """Return the finding that something is wrong, and what to do."""
    return Finding(check, Verdict.WRONG, seen, cure)


def warning(check: str, seen: str, cure: str) -> Finding:
    """Return the finding that something may be meant, but is seldom wise."""
    return Finding(check, Verdict.WARNING, seen, cure)


def skipped(check: str, why: str) -> Finding:
    """Return the finding that nothing could be found."""
    return Finding(check, Verdict.SKIPPED, why)


#: Is told each finding as soon as it is there.
Report = Callable[[Finding], None]


#: Finds out about one part of a deployment.
Look = Callable[[], Awaitable[list[Finding]]]


class Stopwatch:
    """Seconds since the last look."""

    def __init__(self) -> None:
        self._since = perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap, and begin the next."""
        now = perf_counter()
        took, self._since = now - self._since, now
        return took


async def guarded(check: str, look: Look, limit_s: float) -> list[Finding]:
    """Return what a look finds; a look that itself fails is a finding, too."""
    try:
        async with asyncio.timeout(limit_s):
            return await look()
    except TimeoutError:
        return [
            wrong(check, f"no answer within {limit_s:g} s", "See that the server is not overloaded, and try again.")
        ]
    except Exception as error:
        # One look that fails must not hide what the others find.
        return [wrong(check, f"could not be examined ({type(error).__name__}: {error})", "See its log.")]
