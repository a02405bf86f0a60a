"""Serving HTTP from a process that does not belong to aiohttp."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from reservations.http.connections import ConnectionLimits, Connections

MAX_LINE_BYTES = 32 * 1024


class NotListeningError(Exception):
    """The address to listen on can't be had."""


def process_registry() -> CollectorRegistry:
    """Return a registry that already holds the figures of this process."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@asynccontextmanager
async def serving(
    application: web.Application,
    host: str,
    port: int,
    *,
    stop_deadline_s: float,
    reuse_port: bool = False,
    connections: Connections | None = None,
) -> AsyncIterator[str]:
    """Serve the application while the context lasts; give the address. Requests in work get until the deadline.

    Raises:
        NotListeningError: the address can't be had.

    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=stop_deadline_s)
    await runner.setup()
    kept = Connections(ConnectionLimits()) if connections is None else connections
    try:
        async with _listening(runner, kept, host, port, reuse_port=reuse_port) as url:
            structlog.get_logger().info("listening", url=url)
            yield url
    finally:
        await runner.cleanup()
        kept.stop()


@asynccontextmanager
async def _listening(
    runner: web.AppRunner, connections: Connections, host: str, port: int, *, reuse_port: bool
) -> AsyncIterator[str]:
    assert runner.server is not None  # noqa: S101 - it was set up
    # Up to these sizes an absurd request is refused in the service's own form, beyond by aiohttp's.
    made = connections.factory(
        runner.server, access_log=None, max_line_size=MAX_LINE_BYTES, max_field_size=MAX_LINE_BYTES
    )
    loop = asyncio.get_running_loop()
    # Not a site of aiohttp's: its connections have no deadlines.
    try:
        server = await loop.create_server(made, host, port, backlog=1024, reuse_port=reuse_port)
    except OSError as error:
        # Of a name that is not known the number is negative, and only the text tells.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise NotListeningError(
            f"Can't listen on {host}:{port} ({why}). RESERVATIONS_HTTP_PORT is a gateway's, "
            "RESERVATIONS_WORKER_HTTP_PORT a worker's; 0 takes a free one."
        ) from error
    try:
        yield "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    finally:
        server.close()
