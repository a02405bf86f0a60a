"""Waiting for something to be so, never for time to pass."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], *, limit_s: float = 20, every_s: float = 0.02) -> T:
    """Return the first true answer; fail with the last one when there is none within the limit."""
    deadline = monotonic() + limit_s
    while True:
        answer = await look()
        if answer:
            return answer
        assert monotonic() < deadline, f"still {answer!r} after {limit_s} s"
        await asyncio.sleep(every_s)
