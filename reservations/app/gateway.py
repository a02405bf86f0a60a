"""The gateway process: REST to commands, reads from Postgres, documents, health and metrics."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from aiokafka import AIOKafkaProducer

from reservations.agents.survival import Patience, kafka_is_away
from reservations.app import authentication, dependencies, descriptors, garbage, kafka, logs, tracing
from reservations.app.metrics import BacklogCollector, ConnectionCollector, GatewayMetrics, PoolCollector
from reservations.app.serving import process_registry, serving
from reservations.app.settings import Settings
from reservations.http.api import operations
from reservations.http.asyncapi import TopicLayout, asyncapi
from reservations.http.backlog import BacklogWatch
from reservations.http.connections import Connections
from reservations.http.desk import CommandDesk
from reservations.http.documents import document_routes
from reservations.http.gateway import gateway
from reservations.http.health import Check, Health, Readiness
from reservations.http.limits import GuessLimit, RateLimit
from reservations.http.openapi import openapi
from reservations.http.ops import Ops, Watch
from reservations.http.pressure import Pressure
from reservations.http.reads import Reads
from reservations.http.replies import Replies
from reservations.http.writes import Writes
from reservations.models.topics import COMMANDS, RESULTS
from reservations.tables import database

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

#: What this process can't do without; the other topics are the workers'.
NEEDED = (COMMANDS, RESULTS)


async def run(settings: Settings) -> int:
    """Run a gateway until SIGTERM or SIGINT; return the exit status."""
    logs.configure("gateway", settings.log_level)
    dependencies.log_start(settings)
    descriptors.provide(settings.max_connections + settings.pool_max_size)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        connections = Connections(settings.connection_limits())
        stack.callback(connections.stop)
        application = await _assemble(settings, stack, Patience(stopping, lambda *_: None), connections)
        host, port = settings.reservations_http_host, settings.reservations_http_port
        listening = serving(
            application,
            host,
            port,
            stop_deadline_s=settings.stop_deadline_s,
            reuse_port=settings.reservations_http_reuse_port,
            connections=connections,
        )
        garbage.spare_what_stays()
        await stack.enter_async_context(listening)
        await stopping.wait()
        structlog.get_logger().info("stopping")
    return 0


async def _assemble(
    settings: Settings, stack: AsyncExitStack, patience: Patience, connections: Connections
) -> web.Application:
    traced = tracing.begin(settings, "gateway")
    stack.push_async_callback(traced.stop)
    identify = await authentication.identify(settings, stack)
    pool = database.pool_of(
        settings.database_url, database.READER, settings.pool_limits("gateway"), traced.connection_class()
    )
    await dependencies.open_pool(pool, patience)
    stack.push_async_callback(dependencies.close_pool, pool)
    producer, replies = kafka.producer(settings), Replies(kafka.results_consumer(settings))
    await dependencies.start_producer(producer, settings, patience, NEEDED)
    stack.push_async_callback(dependencies.stop_producer, producer)
    await patience.insist("Kafka", replies.start, kafka_is_away)
    stack.push_async_callback(replies.stop)
    pressure = _watch_backlog(settings, stack)

    registry = process_registry()
    for collector in (PoolCollector(pool), ConnectionCollector(connections), BacklogCollector(pressure)):
        registry.register(collector)
    metrics = GatewayMetrics(registry)
    pool.on_waited = metrics.pool_wait.observe
    desk = CommandDesk(traced.producer(producer), replies, pool, settings.kafka_topic_prefix, pressure)
    guesses = GuessLimit(settings.wrong_codes_allowed, settings.wrong_code_window_s)
    offered = operations(Writes(desk, settings.command_timeout_s), Reads(pool, guesses))
    for operation in offered:
        metrics.expect(operation.method, operation.path)
    health = _health(settings, pool, producer, replies)
    if identify:
        identify = RateLimit(settings.rate_limit_per_s, settings.rate_burst).within(identify)
    ops = Ops(Watch(lambda: kafka.flow_consumer(settings), settings.kafka_topic_prefix), pressure, pool)
    others: Sequence[web.AbstractRouteDef] = [
        *document_routes(openapi(offered), asyncapi(_layout(settings))),
        *health.routes(registry),
        *ops.routes(identify),
    ]
    limit_s = settings.request_body_limit_s
    application = gateway(offered, others, metrics.observe, identify, limit_s, tracing=traced.middleware())
    application.on_shutdown.append(ops.end)
    return application


def _layout(settings: Settings) -> TopicLayout:
    return TopicLayout(
        settings.kafka_topic_prefix,
        settings.kafka_partitions,
        settings.kafka_replication_factor,
        settings.retention_ms,
    )


def _watch_backlog(settings: Settings, stack: AsyncExitStack) -> Pressure:
    pressure = Pressure(settings.max_command_backlog)
    watch = BacklogWatch(
        kafka.reaching(settings),
        settings.kafka_topic_prefix + COMMANDS.name,
        settings.kafka_topic_prefix + settings.kafka_group,
        pressure,
        settings.backlog_check_s,
    )
    stack.push_async_callback(watch.stop)
    watch.start()
    return pressure


def _health(settings: Settings, pool: "AnyPool", producer: AIOKafkaProducer, replies: Replies) -> Health:
    checks: dict[str, Check] = {
        "postgres": lambda: dependencies.check_schema(pool),
        "partitions": lambda: dependencies.check_partitions(pool),
        "kafka": lambda: dependencies.check_broker(producer, settings),
        "replies": lambda: _check_replies(replies),
    }
    return Health(checks, _judge, lambda: None)


def _judge(failed: set[str]) -> Readiness:
    """Judge what can be served: writes need only the broker, reads need only Postgres."""
    if not failed:
        return Readiness.READY
    neither = "postgres" in failed and failed & {"kafka", "replies"}
    return Readiness.UNREADY if neither else Readiness.DEGRADED


async def _check_replies(replies: Replies) -> str | None:
    return None if replies.is_reading else "results are not read"
