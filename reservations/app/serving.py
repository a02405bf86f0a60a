"""Serving HTTP from a process that does not belong to aiohttp."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

MAX_LINE_BYTES = 32 * 1024


def process_registry() -> CollectorRegistry:
    """Return a registry that already holds the figures of this process."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@asynccontextmanager
async def serving(
    application: web.Application, host: str, port: int, *, stop_deadline_s: float, reuse_port: bool = False
) -> AsyncIterator[str]:
    """Serve the application while the context lasts; give the address. Requests in work get until the deadline."""
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=stop_deadline_s,
        # Up to here an absurd request is refused in the service's own form, beyond by aiohttp's.
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024, reuse_port=reuse_port)
        await site.start()
        url = "http://{}:{}".format(*runner.addresses[0][:2])
        structlog.get_logger().info("listening", url=url)
        yield url
    finally:
        await runner.cleanup()
