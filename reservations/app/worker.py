"""The worker process: an agent on each command topic, one engine, and a port for health and metrics."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import aiohttp
import stamina
import structlog
from aiohttp import web

from reservations.agents import intake, process, watching
from reservations.agents.clock import Clock
from reservations.agents.commands import CommandAgent
from reservations.agents.decoding import decode_command, decode_payment
from reservations.agents.engine import Engine
from reservations.agents.guard import LoopGuard
from reservations.agents.months import BookableMonths
from reservations.agents.neighbours import NeighbourLimits, Neighbours
from reservations.agents.publisher import Publisher
from reservations.agents.scouting import Scout
from reservations.agents.survival import Patience, Survivor, postgres_is_away
from reservations.agents.telling import Teller
from reservations.agents.watchdog import Watchdog
from reservations.app import dependencies, garbage, kafka, logs, tracing
from reservations.app.metrics import AgeCollector, LagCollector, PoolCollector, WorkerMetrics
from reservations.app.observation import MeasuredEngine, Watcher
from reservations.app.serving import process_registry, serving
from reservations.app.settings import Settings
from reservations.app.stack.home import is_free
from reservations.app.tracing.seams import LaneTracing
from reservations.http.health import Check, Health, Readiness
from reservations.models.eligibility import Surroundings
from reservations.models.topics import BULK_COMMANDS, INTAKE, PAYMENT_PROCESSED, Topic
from reservations.tables import database

MONTHS_INTERVAL_S = 3600.0
CLOSING_LIMIT_S = 6.0  # for what is closed after the app has stopped


async def run(settings: Settings) -> int:
    """Run a worker until it is told to stop or can't go on; return the exit status.

    End the process with `os._exit` afterwards: Faust may leave threads.
    """
    logs.configure("worker", settings.log_level)
    # Each call to a neighbour is measured already.
    stamina.instrumentation.set_on_retry_hooks([])
    dependencies.log_start(settings)
    async with AsyncExitStack() as stack:
        worker = Worker(settings)
        return await worker.run(stack)


class Worker:
    """The parts of a worker, put together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._away: set[str] = set()
        self._patience = Patience(self._stopping, self._note)
        self._registry = process_registry()
        self._metrics = WorkerMetrics(self._registry)
        self._months = BookableMonths()
        self._tracing = tracing.begin(settings, "worker")
        self._pool = database.pool_of(
            settings.database_url, database.WRITER, settings.pool_limits("worker"), self._tracing.connection_class()
        )
        self._producer = kafka.producer(settings)
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trace_configs=self._tracing.client())
        self._scout = Scout(self._pool, self._neighbours())
        self._publisher = Publisher(self._producer, settings.kafka_topic_prefix)
        self._clock = Clock(
            self._pool, self._publisher, settings.deadlines(), on_dead_letters=self._metrics.count_dead_letters
        )
        self._app = intake.make_app(
            settings.kafka_topic_prefix + settings.kafka_group,
            bootstrap_servers=settings.kafka_bootstrap_servers,
            security=settings.kafka_security(),
            session_timeout_s=settings.kafka_session_timeout_s,
            rebalance_timeout_s=settings.kafka_rebalance_timeout_s,
            fetch_wait_ms=settings.kafka_fetch_wait_ms,
        )
        self._guard = LoopGuard(settings.watchdog_s)
        self._watchdog = Watchdog(settings.watchdog_s)
        self._watching: asyncio.Task[None] | None = None
        self._metrics.seconds_without_progress.set_function(lambda: self._watchdog.seconds)
        self._metrics.watchdog_limit.set(settings.watchdog_s)
        self._pool.on_waited = self._metrics.pool_wait.observe
        self._lanes = dict(map(self._lane, INTAKE))
        self._let_callers_go_first()

    async def run(self, stack: AsyncExitStack) -> int:
        """Start everything in turn, work until the end, and return the exit status."""
        self._guard.start()
        stack.push_async_callback(self._tracing.stop)
        stack.push_async_callback(self._session.close)
        await dependencies.open_pool(self._pool, self._patience)
        stack.push_async_callback(dependencies.close_pool, self._pool)
        await self._keep_months()
        await dependencies.start_producer(self._producer, self._settings, self._patience)
        stack.push_async_callback(dependencies.stop_producer, self._producer)
        await stack.enter_async_context(self._serving())
        stack.callback(self._every(MONTHS_INTERVAL_S, "months", self._keep_months).cancel)
        stack.callback(self._every(self._settings.clock_interval_s, "clock", self._tick).cancel)
        self._watching = self._watch()
        return await process.run(
            self._app,
            self._fatal,
            stopping=self._stopping,
            stop_deadline_s=self._settings.stop_deadline_s,
            on_started=self._started,
            on_stopping=self._end_in_time,
        )

    def _lane(self, topic: Topic) -> tuple[str, watching.Watched]:
        # Each has its own: the attempts of one lane must not hide that another hangs.
        patience = Patience(self._stopping, self._note)
        name = self._settings.kafka_topic_prefix + topic.name
        traced = self._tracing.lane()
        handle = traced.handle(self._agent(topic, patience, traced).handle)
        lane = intake.consume(self._app, name, handle, self._fatal, self._settings.max_batch_size)
        return name, (lane, lambda: patience.attempts)

    def _let_callers_go_first(self) -> None:
        bulk = self._settings.kafka_topic_prefix + BULK_COMMANDS.name
        lane, _ = self._lanes[bulk]
        lane.give_way_to(other for name, (other, _) in self._lanes.items() if name != bulk)

    def _watch(self) -> "asyncio.Task[None]":
        peek = watching.Peeker(self._settings.kafka_bootstrap_servers, self._settings.kafka_security())
        return watching.start(self._app, self._lanes, self._fatal, self._watchdog, peek)

    async def _end_in_time(self) -> None:
        if self._watching:
            self._watching.cancel()  # messages that come now are for others
        self._guard.end_within(self._settings.stop_deadline_s + CLOSING_LIMIT_S)

    def _agent(self, topic: Topic, patience: Patience, traced: LaneTracing) -> CommandAgent:
        look_around = self._scout.look_around if self._settings.has_neighbours else _look_nowhere
        engine = Engine(self._pool, self._months, look_around, self._settings.rules(), lane=topic.lane)
        survivor = Survivor(traced.engine(MeasuredEngine(engine, self._metrics)), patience)
        teller = Teller(self._publisher.full_name(PAYMENT_PROCESSED))
        watcher = Watcher(self._metrics)
        return CommandAgent(
            decode=traced.decode(decode_payment if topic is PAYMENT_PROCESSED else decode_command),
            survivor=survivor,
            publisher=traced.publisher(self._publisher),
            tell=teller.tell,
            patience=patience,
            on_verdict=traced.see(watcher.see),
        )

    def _neighbours(self) -> Neighbours:
        settings = self._settings
        limits = NeighbourLimits(budget_s=settings.eligibility_budget_s)
        return Neighbours(
            self._session,
            settings.guest_profiles_url,
            settings.trip_catalog_url,
            limits,
            observe=self._metrics.observe_neighbour,
        )

    async def _started(self) -> None:
        self._registry.register(LagCollector(lambda: intake.lag(self._app)))
        self._registry.register(PoolCollector(self._pool))
        lanes = {name: lane for name, (lane, _) in self._lanes.items()}
        self._registry.register(AgeCollector(lambda: {name: lane.arrived_at() for name, lane in lanes.items()}))
        garbage.spare_what_stays()
        structlog.get_logger().info(
            "working",
            eligibility=self._settings.eligibility(),
            topics=[topic.name for topic in INTAKE],
        )

    def _serving(self) -> AbstractAsyncContextManager[str]:
        application = web.Application()
        application.add_routes(self._health().routes(self._registry))
        host, port = self._settings.reservations_worker_http_host, self._settings.reservations_worker_http_port
        if "reservations_worker_http_port" not in self._settings.model_fields_set and not is_free(host, port):
            port = 0  # another worker of this machine has the default; the log says where this one listens
        return serving(application, host, port, stop_deadline_s=1)

    def _health(self) -> Health:
        checks: dict[str, Check] = {
            "postgres": lambda: dependencies.check_schema(self._pool),
            "partitions": lambda: dependencies.check_partitions(self._pool),
            "kafka": lambda: dependencies.check_broker(self._producer, self._settings),
            "intake": self._check_intake,
        }
        facts = {"eligibility": self._settings.eligibility()}
        return Health(checks, lambda failed: Readiness.UNREADY if failed else Readiness.READY, self._lives, facts)

    async def _check_intake(self) -> str | None:
        if self._away:
            return f"waiting for {', '.join(sorted(self._away))}"
        return None if intake.assigned(self._app) else "no partition assigned yet"

    def _lives(self) -> str | None:
        return "stopping after an error" if self._fatal.done() else None

    def _note(self, server: str, is_away: bool) -> None:
        (self._away.add if is_away else self._away.discard)(server)

    async def _keep_months(self) -> None:
        await self._patience.insist("Postgres", lambda: self._months.keep(self._pool), postgres_is_away)
        self._metrics.partitions_ahead.set(self._months.ahead)

    async def _tick(self) -> None:
        due = await self._clock.tick()
        if due:
            structlog.get_logger().info("due", count=due)
        pruned = await self._clock.prune()
        if pruned:
            structlog.get_logger().info("inbox_pruned", count=pruned)

    def _every(self, interval_s: float, job: str, act: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        async def repeat() -> None:
            while True:
                await asyncio.sleep(interval_s)
                try:
                    await act()
                except Exception:
                    structlog.get_logger().exception("job_failed", job=job)

        return asyncio.create_task(repeat())


async def _look_nowhere(_: object) -> Surroundings:
    return Surroundings()
