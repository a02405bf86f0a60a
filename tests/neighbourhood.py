"""A neighbour on loopback: it counts what it is asked, and behaves as badly as it is told to."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeNeighbour:
    """Both neighbours in one server: it counts what it is asked, and answers as it is told to."""

    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    misbehaves: dict[str, Behaviour] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    abandoned: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.asked[request.path] += 1
        try:
            if request.path in self.misbehaves:
                return await self.misbehaves[request.path](request)
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        if request.path not in self.answers:
            return web.json_response({"error": "NOT_FOUND"}, status=404)
        return web.json_response(self.answers[request.path])


def offer(trip_id: UUID) -> dict[str, Any]:
    """Return a trip as the catalog answers it."""
    return {
        "id": str(trip_id),
        "status": "ACTIVE",
        "min_participants": 1,
        "max_participants": 12,
        "base_price": 199.99,
        "age_minimum": 12,
        "required_certifications": [],
        "duration_hours": 7.5,
        "region": "Andes",
    }


async def hang(_: web.Request) -> web.StreamResponse:
    """Answer after ten seconds."""
    await asyncio.sleep(10)
    return web.json_response({})


async def drop(request: web.Request) -> web.StreamResponse:
    """Drop the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def dribble(request: web.Request) -> web.StreamResponse:
    """Send a byte now and then, for ever."""
    return await stream(request, b" ", pause_s=0.02)


async def flood(request: web.Request) -> web.StreamResponse:
    """Send as much as is taken, for ever."""
    return await stream(request, b" " * 65536, pause_s=0)


async def stream(request: web.Request, chunk: bytes, pause_s: float) -> web.StreamResponse:
    """Send a chunk again and again."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(chunk)
        await asyncio.sleep(pause_s)


def says(text: str, status: int = 200) -> Behaviour:
    """Return a behaviour that answers this text."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers={"Location": "/guests/elsewhere"})

    return answer


def was_asked(fake: FakeNeighbour, path: str) -> Callable[[], Awaitable[bool]]:
    """Return a condition: the neighbour was asked for this."""

    async def look() -> bool:
        return fake.asked[path] > 0

    return look


def abandoned_by(fake: FakeNeighbour) -> Callable[[], Awaitable[bool]]:
    """Return a condition: the neighbour noticed that nobody waits for its answer."""

    async def look() -> bool:
        return fake.abandoned > 0

    return look
