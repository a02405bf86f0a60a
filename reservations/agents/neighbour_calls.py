"""Calling one neighbour: bounded in time, size and number, repeated when that may help, and measured."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from time import perf_counter
from typing import TypeVar

import aiohttp
import stamina
import structlog

from reservations.models.eligibility import Absence

T = TypeVar("T")
#: Told of each call: the neighbour, how it ended, and how long it took in seconds.
Observe = Callable[[str, str, float], None]

MAX_ANSWER_BYTES = 256 * 1024
CHUNK_BYTES = 16 * 1024
FIRST_PAUSE_S = 0.1
JITTER_S = 0.2
LONGEST_PAUSE_S = 0.5
# Identity: a small compressed body can't become a large one.
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class Ending(StrEnum):
    """How a call ended."""

    ANSWERED = "answered"
    UNKNOWN = "unknown"
    REMEMBERED = "remembered"
    """There was no call: the answer was known."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    FAILING = "failing"
    """A 5xx or 429."""
    REFUSED = "refused"
    """Any other status, redirects included."""
    GARBAGE = "garbage"
    """An answer that is too long, no JSON, or not as agreed."""
    ABANDONED = "abandoned"
    """Nobody waited for it any longer."""
    BROKEN = "broken"
    """It failed on this side."""


class CallError(Exception):
    """The call brought no answer, and another one will not either."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.value)
        self.ending = ending


class PassingError(CallError):
    """The call brought no answer, but another one may."""


class NeighbourCalls:
    """Gets from one neighbour. At most so many calls are made at a time, each within its time."""

    def __init__(
        self,
        name: str,
        url: str,
        session: aiohttp.ClientSession,
        *,
        call_timeout_s: float,
        attempts: int,
        max_concurrent: int,
        observe: Observe,
    ) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._session = session
        self._call_timeout_s = call_timeout_s
        self._slots = asyncio.Semaphore(max_concurrent)
        self._observe = observe
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=attempts,
            timeout=None,
            wait_initial=FIRST_PAUSE_S,
            wait_max=LONGEST_PAUSE_S,
            wait_jitter=JITTER_S,
        )

    async def get(self, path: str, read: Callable[[bytes], T]) -> T | Absence:
        """Return what read makes of the answer; never raise. What read refuses with a ValueError is no answer."""
        try:
            return await self._retrying(PassingError, self._attempt, path, read)
        except CallError:
            return Absence.UNAVAILABLE

    async def _attempt(self, path: str, read: Callable[[bytes], T]) -> T | Absence:
        async with self._slots:
            began, ending = perf_counter(), Ending.ABANDONED
            try:
                answer = await self._call(path, read)
                ending = Ending.UNKNOWN if answer is Absence.UNKNOWN else Ending.ANSWERED
            except CallError as error:
                ending = error.ending
                raise
            finally:
                self._observe(self._name, ending, perf_counter() - began)
            return answer

    async def _call(self, path: str, read: Callable[[bytes], T]) -> T | Absence:
        try:
            async with asyncio.timeout(self._call_timeout_s):
                body = await self._fetch(path)
            return Absence.UNKNOWN if body is None else read(body)
        except TimeoutError:
            raise PassingError(Ending.TIMEOUT) from None
        except (aiohttp.ClientError, OSError) as error:
            raise PassingError(Ending.UNREACHABLE) from error
        except (ValueError, RecursionError) as error:
            raise CallError(Ending.GARBAGE) from error
        except CallError:
            raise
        except Exception as error:
            structlog.get_logger().exception("neighbour_call_breaks", neighbour=self._name)
            raise CallError(Ending.BROKEN) from error

    async def _fetch(self, path: str) -> bytes | None:
        no_limit = aiohttp.ClientTimeout(total=None)  # one clock counts, and it is the caller's
        async with self._session.get(
            self._url + path, allow_redirects=False, timeout=no_limit, headers=HEADERS
        ) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise PassingError(Ending.FAILING)
            if response.status != HTTPStatus.OK:
                raise CallError(Ending.REFUSED)
            return await _read_bounded(response.content)


async def _read_bounded(stream: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    while chunk := await stream.read(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise CallError(Ending.GARBAGE)
    return bytes(body)
