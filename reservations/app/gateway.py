"""The gateway process: REST to commands, reads from Postgres, documents, health and metrics."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog
from aiohttp import web

from reservations.agents.survival import Patience, kafka_is_away
from reservations.app import dependencies, kafka, logs
from reservations.app.metrics import GatewayMetrics, PoolCollector
from reservations.app.serving import process_registry, serving
from reservations.app.settings import Settings
from reservations.http.api import operations
from reservations.http.desk import CommandDesk
from reservations.http.documents import document_routes
from reservations.http.gateway import gateway
from reservations.http.health import Check, Health, Readiness
from reservations.http.openapi import openapi
from reservations.http.reads import Reads
from reservations.http.replies import Replies
from reservations.http.writes import Writes
from reservations.models.topics import COMMANDS, RESULTS
from reservations.tables import database

#: What this process can't do without; the other topics are the workers'.
NEEDED = (COMMANDS, RESULTS)


async def run(settings: Settings) -> int:
    """Run a gateway until SIGTERM or SIGINT; return the exit status."""
    logs.configure("gateway", settings.log_level)
    dependencies.log_start(settings)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        application = await _assemble(settings, stack, Patience(stopping, lambda *_: None))
        host, port = settings.reservations_http_host, settings.reservations_http_port
        listening = serving(
            application,
            host,
            port,
            stop_deadline_s=settings.stop_deadline_s,
            reuse_port=settings.reservations_http_reuse_port,
        )
        await stack.enter_async_context(listening)
        await stopping.wait()
        structlog.get_logger().info("stopping")
    return 0


async def _assemble(settings: Settings, stack: AsyncExitStack, patience: Patience) -> web.Application:
    pool = database.pool_of(settings.database_url, database.READER, settings.pool_limits("gateway"))
    await dependencies.open_pool(pool, patience)
    stack.push_async_callback(dependencies.close_pool, pool)
    producer, replies = kafka.producer(settings), Replies(kafka.results_consumer(settings))
    await dependencies.start_producer(producer, settings, patience, NEEDED)
    stack.push_async_callback(dependencies.stop_producer, producer)
    await patience.insist("Kafka", replies.start, kafka_is_away)
    stack.push_async_callback(replies.stop)

    registry = process_registry()
    registry.register(PoolCollector(pool))
    metrics = GatewayMetrics(registry)
    desk = CommandDesk(producer, replies, pool, settings.kafka_topic_prefix)
    offered = operations(Writes(desk, settings.command_timeout_s), Reads(pool))
    checks: dict[str, Check] = {
        "postgres": lambda: dependencies.check_schema(pool),
        "partitions": lambda: dependencies.check_partitions(pool),
        "kafka": lambda: dependencies.check_broker(producer, settings),
        "replies": lambda: _check_replies(replies),
    }
    health = Health(checks, _judge, lambda: None)
    others: Sequence[web.AbstractRouteDef] = [*document_routes(openapi(offered)), *health.routes(registry)]
    return gateway(offered, others, metrics.observe)


def _judge(failed: set[str]) -> Readiness:
    """Judge what can be served: writes need only the broker, reads need only Postgres."""
    if not failed:
        return Readiness.READY
    neither = "postgres" in failed and failed & {"kafka", "replies"}
    return Readiness.UNREADY if neither else Readiness.DEGRADED


async def _check_replies(replies: Replies) -> str | None:
    return None if replies.is_reading else "results are not read"
