"""The page for operators: what goes on, as it happens, by server-sent events (HTML Living Standard, section 9.2)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from aiohttp import web
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from reservations.http.callers import Handler, Identify, admitting
from reservations.http.documents import asset, serving
from reservations.http.flow import Flow
from reservations.http.pressure import Pressure
from reservations.http.problems import problem
from reservations.models.access import Action
from reservations.models.errors import ErrorCode
from reservations.tables import trip_slots

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

EVERY_S = 1.0
MOST_WATCHERS = 20
SLOTS_SHOWN = 12
READ_LIMIT_S = 2.0
ASSETS = {"ops.css": "text/css; charset=utf-8", "ops.js": "text/javascript; charset=utf-8"}


class Watch:
    """Reads the watched topics while somebody watches, and only then."""

    def __init__(self, make_consumer: Callable[[], AIOKafkaConsumer], topic_prefix: str) -> None:
        self._make_consumer = make_consumer
        self._prefix = topic_prefix
        self._watchers = 0
        self._reading: asyncio.Task[None] | None = None
        self.flow = Flow()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Flow]:
        """Give what happens while the context lasts.

        Raises:
            ProblemError: too many watch already.

        """
        if self._watchers >= MOST_WATCHERS:
            raise problem(ErrorCode.OVERLOADED, "Too many watch already; close a page.")
        self._watchers += 1
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="watch")
        try:
            yield self.flow
        finally:
            self._watchers -= 1
            if not self._watchers:
                await self._stop()

    async def _stop(self) -> None:
        if self._reading:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            self._reading = None

    async def _read(self) -> None:
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError) as error:
                structlog.get_logger().warning("watch_interrupted", error=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def _follow(self) -> None:
        consumer = self._make_consumer()
        try:
            await consumer.start()
            async for record in consumer:
                self.flow.see(record.topic.removeprefix(self._prefix), record.value, record.headers, monotonic())
        finally:
            await consumer.stop()


class Ops:
    """The page and its stream."""

    def __init__(self, watch: Watch, pressure: Pressure, reader: "AnyPool") -> None:
        self._watch = watch
        self._pressure = pressure
        self._reader = reader
        self._ending = asyncio.Event()

    def routes(self, identify: Identify | None) -> Sequence[web.AbstractRouteDef]:
        """Return the routes: the page holds nothing and is open, the stream is for those who operate the service."""
        stream: Handler = admitting(Action.OPERATE, self.stream, identify) if identify else self.stream
        pages = [web.get("/ops", serving(asset("ops.html", "text/html; charset=utf-8")))]
        pages += [web.get(f"/ops/assets/{name}", serving(asset(name, kind))) for name, kind in ASSETS.items()]
        return [*pages, web.get("/ops/stream", stream)]

    async def end(self, _: web.Application) -> None:
        """End all streams."""
        self._ending.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """GET /ops/stream: a snapshot each second, with what happened since the last one."""
        async with self._watch.watched() as flow:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            await response.prepare(request)
            number = 0
            while not self._ending.is_set():
                lines = flow.since(number)
                number = lines[-1].number if lines else number
                snapshot = {"lines": [line.shown() for line in lines], **await self._figures(flow)}
                await response.write(b"data: " + orjson.dumps(snapshot, default=str) + b"\n\n")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), EVERY_S)
        return response

    async def _figures(self, flow: Flow) -> dict[str, Any]:
        return {
            "backlog": self._pressure.backlog,
            "takes_writes": not self._pressure.is_over,
            "rates": flow.rates(monotonic()),
            "batches": flow.batches(),
            "slots": await _or_none(self._slots()),
        }

    async def _slots(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(READ_LIMIT_S), self._reader.acquire() as connection:
            return [dict(row) for row in await trip_slots.fullest(connection, SLOTS_SHOWN)]


async def _or_none(read: Awaitable[list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
    """Return what was read, or None where the database does not answer: the rest of the page goes on."""
    try:
        return await read
    except Exception as error:
        structlog.get_logger().warning("slots_unreadable", error=type(error).__name__)
        return None
