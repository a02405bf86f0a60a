"""What is said of the engine's work: wrapped around it, not sprinkled in it."""

import re
from collections.abc import Sequence
from time import perf_counter, time

import structlog

from reservations.agents.decoding import Unreadable
from reservations.agents.engine import Applies
from reservations.agents.intake import Delivery
from reservations.agents.publications import trace_of
from reservations.agents.survival import Poisoned
from reservations.agents.telling import Verdict
from reservations.app.metrics import WorkerMetrics
from reservations.models.commands import AnyCommand
from reservations.models.errors import ErrorCode
from reservations.models.payments import needs_a_person
from reservations.models.worksheet import Outcome

_TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-")


class MeasuredEngine:
    """An engine whose batches and transactions are measured."""

    def __init__(self, engine: Applies, metrics: WorkerMetrics) -> None:
        self._engine = engine
        self._metrics = metrics

    async def apply(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        """Apply the commands, and measure it."""
        begun = perf_counter()
        outcomes = await self._engine.apply(commands)
        self._metrics.transaction_seconds.observe(perf_counter() - begun)
        self._metrics.batch_size.observe(len(commands))
        return outcomes


class Watcher:
    """Counts and logs each verdict, once it was published."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger()  # kept: making one for each command costs more than the line

    def see(self, delivery: Delivery, verdict: Verdict) -> None:
        """Count and log what became of a delivery; never let that fail what was done."""
        try:
            self._see(delivery, verdict)
        except Exception:
            self._log.exception("not_observed", topic=delivery.topic, offset=delivery.offset)

    def _see(self, delivery: Delivery, verdict: Verdict) -> None:
        if isinstance(verdict, Outcome):
            for outcome in (verdict, *verdict.released):
                self._see_outcome(delivery, outcome)
        else:
            self._see_dead_letter(delivery, verdict)

    def _see_outcome(self, delivery: Delivery, outcome: Outcome) -> None:
        command, code = outcome.command, outcome.code or ""
        took_s = max(0.0, time() - delivery.timestamp)
        self._metrics.count_command(command.type, outcome.kind, code, outcome.replayed, took_s)
        if needs_a_person(command, outcome.code):
            self._metrics.dead_letters.labels(code).inc()
        self._log.info(
            "command",
            type=command.type,
            outcome=outcome.kind,
            code=code,
            replayed=outcome.replayed,
            command_id=str(command.command_id),
            reservation_id=str(outcome.reservation_id),
            trace_id=_trace_id(delivery),
        )

    def _see_dead_letter(self, delivery: Delivery, verdict: Poisoned | Unreadable) -> None:
        code = verdict.reason.code if isinstance(verdict, Unreadable) else ErrorCode.COMMAND_DEAD_LETTERED
        command_id = verdict.command_id if isinstance(verdict, Unreadable) else verdict.command.command_id
        self._metrics.dead_letters.labels(code).inc()
        self._log.warning(
            "dead_letter",
            code=code,
            topic=delivery.topic,
            partition=delivery.partition,
            offset=delivery.offset,
            command_id=str(command_id),
            trace_id=_trace_id(delivery),
        )


def _trace_id(delivery: Delivery) -> str:
    for name, value in trace_of(delivery):
        if name == "traceparent" and (given := _TRACEPARENT.match(value)):
            return given[1].decode()
    return ""
