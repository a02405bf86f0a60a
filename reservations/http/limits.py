"""What one caller may take: requests by the second, and wrong confirmation codes."""

from collections.abc import Callable
from time import monotonic

from aiohttp import web

from reservations.http.buckets import Buckets
from reservations.http.callers import CALLER, Identify
from reservations.http.problems import ProblemError, problem_for_now
from reservations.http.wrong_codes import WrongTries
from reservations.models.access import Caller
from reservations.models.errors import ErrorCode

TOO_MANY = "Too many requests; go on after as many seconds as Retry-After says."
LOCKED = "Too many wrong confirmation codes; try again after as many seconds as Retry-After says."

Clock = Callable[[], float]


def caller_name(request: web.Request) -> str | None:
    """Return the name of who asks; None where nobody has to say it."""
    caller: Caller | None = request.get(CALLER)
    return caller.name if caller else None


class RateLimit:
    """How often a caller may ask."""

    def __init__(self, rate_per_s: float, burst: int, clock: Clock = monotonic) -> None:
        self._buckets = Buckets(rate_per_s, burst)
        self._clock = clock

    def within(self, identify: Identify) -> Identify:
        """Return what identifies callers, and counts what each of them asks.

        Who failed to say who they are is counted by the address they come from.
        """

        async def identified(request: web.Request) -> Caller:
            try:
                caller = await identify(request)
            except ProblemError:
                self._count(f"address:{request.remote}")
                raise
            self._count(caller.name)
            return caller

        return identified

    def _count(self, key: str) -> None:
        wait_s = self._buckets.take(key, self._clock())
        if wait_s:
            raise problem_for_now(ErrorCode.TOO_MANY_REQUESTS, TOO_MANY, wait_s)


class GuessLimit:
    """How many wrong confirmation codes a caller may try, and how many tries one code takes."""

    def __init__(self, allowed: int, window_s: float, clock: Clock = monotonic) -> None:
        self._tries = WrongTries(allowed, window_s)
        self._clock = clock

    def check(self, request: web.Request, code: str) -> None:
        """Refuse a look-up by a code while there were too many wrong ones.

        Raises:
            ProblemError: there were.

        """
        wait_s = self._tries.locked_s(_keys(request, code), self._clock())
        if wait_s:
            raise problem_for_now(ErrorCode.TOO_MANY_REQUESTS, LOCKED, wait_s)

    def settle(self, request: web.Request, code: str, *, found: bool) -> None:
        """Count a look-up that found nothing; refuse it, right or wrong, when meanwhile others were too many.

        Raises:
            ProblemError: they were, so that many tries at once learn no more than one after the other.

        """
        self.check(request, code)
        if not found:
            self._tries.note(_keys(request, code), self._clock())


def _keys(request: web.Request, code: str) -> list[str]:
    name = caller_name(request)
    return [f"code:{code}", *([f"caller:{name}"] if name else [])]
