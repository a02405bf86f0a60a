"""What one caller may take: requests by the second, and wrong confirmation codes."""

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from reservations.http.buckets import Buckets
from reservations.http.problems import problem_for_now
from reservations.http.wrong_codes import WrongTries
from reservations.models.errors import ErrorCode

#: What operators and documents need is not counted.
UNCOUNTED = ("/health/", "/metrics", "/docs", "/openapi.")
LIMITED_CALLERS = "Too many requests; go on after as many seconds as Retry-After says."
LOCKED = "Too many wrong confirmation codes; try again after as many seconds as Retry-After says."

Clock = Callable[[], float]


class Caller(Protocol):
    """Who asks, as authentication found it."""

    @property
    def name(self) -> str:
        """What the caller is called, such as `guest:…` or `service:check-in`."""


CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


def caller_name(request: web.Request) -> str | None:
    """Return the name of who asks; None where nobody has to say it."""
    caller = request.get(CALLER)
    return caller.name if caller else None


def caller_key(request: web.Request) -> str:
    """Return the name of who asks, else the address that the connection comes from."""
    return caller_name(request) or request.remote or ""


class RateLimit:
    """How often a caller may ask."""

    def __init__(self, rate_per_s: float, burst: int, clock: Clock = monotonic) -> None:
        self._buckets = Buckets(rate_per_s, burst)
        self._clock = clock

    def count(self, key: str) -> None:
        """Count a request.

        Raises:
            ProblemError: it is one too many.

        """
        wait_s = self._buckets.take(key, self._clock())
        if wait_s:
            raise problem_for_now(ErrorCode.TOO_MANY_REQUESTS, LIMITED_CALLERS, wait_s)

    def count_failure(self, request: web.Request) -> None:
        """Count a request that failed to say who asks, by where it comes from.

        Raises:
            ProblemError: it is one too many.

        """
        self.count(f"address:{request.remote}")

    def middleware(self) -> Middleware:
        """Return what counts the requests of callers that are known; it belongs behind authentication."""

        @web.middleware
        async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
            name = caller_name(request)
            if name is not None and not request.path.startswith(UNCOUNTED):
                self.count(name)
            return await handler(request)

        return limit


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
