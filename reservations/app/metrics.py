"""The metrics of worker and gateway, and the observers that feed them."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from time import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reservations.http.connections import Connections, Reason
from reservations.http.pressure import Pressure
from reservations.models.errors import ErrorCode
from reservations.tables.database import WatchedPool

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
#: Finding a series by its labels costs more than counting in it; so many are kept at hand.
MAX_SERIES = 1024
BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 150, 200, 500)
#: What alerts count is shown from 0 on: a series that begins with 1 shows no rise. Of answers, it is these.
SERVER_ERRORS = ("500", "503")
#: Commands that may be refused for a neighbour who does not answer.
ASKING = ("reservation.create", "reservation.update", "participant.add")
#: With what messages are set aside.
DEAD_LETTER_CODES = (
    ErrorCode.VALIDATION_FAILED,
    ErrorCode.COMMAND_DEAD_LETTERED,
    ErrorCode.PAYMENT_AMOUNT_INVALID,
    ErrorCode.PAYMENT_CURRENCY_MISMATCH,
    ErrorCode.PAYMENT_AFTER_THE_END,
    ErrorCode.PAYMENT_UNCLAIMED,
)


class WorkerMetrics:
    """What a worker counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commands = Counter(
            "reservations_commands",
            "Commands handled, by type, outcome, error code, and whether they were repetitions.",
            ["type", "outcome", "code", "replayed"],
            registry=registry,
        )
        self.command_seconds = Histogram(
            "reservations_command_seconds",
            "Time from a command's arrival at the broker until its outcome was published.",
            ["type"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "reservations_batch_size", "Commands in one transaction.", buckets=BATCH_SIZES, registry=registry
        )
        self.transaction_seconds = Histogram(
            "reservations_transaction_seconds", "Time of one transaction.", buckets=SECONDS, registry=registry
        )
        for each in ASKING:
            self.commands.labels(each, "rejected", ErrorCode.UPSTREAM_UNAVAILABLE, "false")
        self.dead_letters = Counter(
            "reservations_dead_letters", "Messages set aside, by error code.", ["code"], registry=registry
        )
        for code in DEAD_LETTER_CODES:
            self.dead_letters.labels(code)
        self.neighbour_seconds = Histogram(
            "reservations_neighbour_seconds",
            "Time of one call to a neighbour, by how it ended.",
            ["neighbour", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self.watchdog_limit = Gauge(
            "reservations_watchdog_limit_seconds", "WATCHDOG_S, at which the worker ends.", registry=registry
        )
        self.pool_wait = pool_wait(registry)
        self.partitions_ahead = Gauge(
            "reservations_partitions_ahead", "Monthly partitions that exist after the current month.", registry=registry
        )
        self.seconds_without_progress = Gauge(
            "reservations_seconds_without_progress",
            "For how long nothing got on where messages wait; at WATCHDOG_S the worker ends.",
            registry=registry,
        )
        self._series = lru_cache(maxsize=MAX_SERIES)(self._labelled)

    def count_command(self, command_type: str, outcome: str, code: str, replayed: bool, took_s: float) -> None:
        """Count a command, by what came of it."""
        commands, command_seconds = self._series(command_type, outcome, code, replayed)
        commands.inc()
        command_seconds.observe(took_s)

    def _labelled(self, command_type: str, outcome: str, code: str, replayed: bool) -> tuple[Counter, Histogram]:
        labels = command_type, outcome, code, str(replayed).lower()
        return self.commands.labels(*labels), self.command_seconds.labels(command_type)

    def count_dead_letters(self, code: ErrorCode, count: int) -> None:
        """Count what was set aside."""
        self.dead_letters.labels(code).inc(count)

    def observe_neighbour(self, neighbour: str, outcome: str, took_s: float) -> None:
        """Count a call to a neighbour."""
        self.neighbour_seconds.labels(neighbour, outcome).observe(took_s)


class GatewayMetrics:
    """What a gateway counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "reservations_http_requests",
            "Requests, by method, route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "reservations_http_request_seconds",
            "Time to answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.pool_wait = pool_wait(registry)
        self._series = lru_cache(maxsize=MAX_SERIES)(self._labelled)

    def expect(self, method: str, route: str) -> None:
        """Show from the start how often that route failed."""
        for status in SERVER_ERRORS:
            self.requests.labels(method, route, status)

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count a request."""
        requests, request_seconds = self._series(method, route, status)
        requests.inc()
        request_seconds.observe(took_s)

    def _labelled(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(method, route, str(status)), self.request_seconds.labels(method, route)


def pool_wait(registry: CollectorRegistry) -> Histogram:
    """Return the measure of how long a pool lets wait."""
    return Histogram(
        "reservations_pool_wait_seconds",
        "Time until a database connection was had, or no longer waited for.",
        buckets=SECONDS,
        registry=registry,
    )


class PoolCollector(Collector):
    """Connections of a pool, read when scraped."""

    def __init__(self, pool: WatchedPool) -> None:
        self._pool = pool

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the connections by state, and how many wait for one."""
        family = GaugeMetricFamily(
            "reservations_pool_connections",
            "Database connections, by state; limit is what may be open.",
            labels=["state"],
        )
        idle = self._pool.get_idle_size()
        for state, count in {
            "idle": idle,
            "used": self._pool.get_size() - idle,
            "limit": self._pool.get_max_size(),
        }.items():
            family.add_metric([state], count)
        yield family
        yield GaugeMetricFamily(
            "reservations_pool_waiting", "How many wait for a database connection.", value=self._pool.waiting
        )


class ConnectionCollector(Collector):
    """Connections of a gateway, read when scraped."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterable[Metric]:
        """Return how many are open, and how many were ended for missing a limit."""
        yield GaugeMetricFamily(
            "reservations_http_connections", "Connections that are served.", value=len(self._connections)
        )
        ended = CounterMetricFamily(
            "reservations_http_connections_ended",
            "Connections that were refused or closed for missing a limit, by reason.",
            labels=["reason"],
        )
        for reason in Reason:
            ended.add_metric([reason], self._connections.ended[reason])
        yield ended


class BacklogCollector(Collector):
    """Commands that wait, as the gateway saw them last."""

    def __init__(self, pressure: Pressure) -> None:
        self._pressure = pressure

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return how many commands may wait, and how many do: without a value while that is not known."""
        yield GaugeMetricFamily(
            "reservations_command_backlog_limit",
            "MAX_COMMAND_BACKLOG: while more commands wait, writes are refused.",
            value=self._pressure.most,
        )
        family = GaugeMetricFamily(
            "reservations_command_backlog", "Commands on the command topic that the workers have not done."
        )
        if self._pressure.backlog is not None:
            family.add_metric([], self._pressure.backlog)
        yield family


class AgeCollector(Collector):
    """How old the oldest message in hand is, read when scraped."""

    def __init__(self, arrivals: Callable[[], Mapping[str, float | None]], clock: Callable[[], float] = time) -> None:
        self._arrivals = arrivals
        self._clock = clock

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return for each topic how long ago the oldest message in hand came to the broker; 0 when none is."""
        family = GaugeMetricFamily(
            "reservations_oldest_message_seconds",
            "Time since the oldest message that a worker has in hand came to the broker; 0 when it has none.",
            labels=["topic"],
        )
        for topic, arrived_at in self._arrivals().items():
            family.add_metric([topic], 0.0 if arrived_at is None else max(0.0, self._clock() - arrived_at))
        yield family


class LagCollector(Collector):
    """Messages not yet handled, read when scraped."""

    def __init__(self, lag: Callable[[], Mapping[Any, int]]) -> None:
        self._lag = lag

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the lag of each partition that this worker reads."""
        family = GaugeMetricFamily(
            "reservations_consumer_lag", "Messages not yet handled.", labels=["topic", "partition"]
        )
        for tp, behind in self._lag().items():
            family.add_metric([tp.topic, str(tp.partition)], behind)
        yield family
