"""Replies end in time, whatever the broker's client does."""

import asyncio
from typing import Any

import pytest

from reservations.http import replies
from reservations.http.replies import Replies


class Stuck:
    """A consumer that neither gives anything nor stops."""

    async def start(self) -> None:
        """Start."""

    def assignment(self) -> frozenset[Any]:
        """Return no partition."""
        return frozenset()

    def __aiter__(self) -> "Stuck":
        """Return itself."""
        return self

    async def __anext__(self) -> Any:
        """Never give anything."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Never stop."""
        await asyncio.Event().wait()


async def test_a_client_that_does_not_stop_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "STOP_LIMIT_S", 0.01)
    reading = Replies(Stuck())
    await reading.start()
    async with asyncio.timeout(5):
        await reading.stop()
    assert not reading.is_reading
