"""Tracing of one agent: a span for each command, one for each batch's transaction, one for each event."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import cast
from uuid import UUID

from opentelemetry.trace import Link, Span, Tracer, set_span_in_context, use_span

from reservations.agents.commands import Decode
from reservations.agents.decoding import Unreadable
from reservations.agents.engine import Applies
from reservations.agents.intake import Apply, Delivery, Rest
from reservations.agents.publications import Publication
from reservations.agents.publisher import Publishes
from reservations.agents.survival import Poisoned
from reservations.agents.telling import Verdict
from reservations.app.tracing import messages
from reservations.app.tracing.seams import LaneTracing, See
from reservations.app.tracing.spans import NOWHERE, Headers, carrying, context_in, fail, failing, is_sampled, lasting
from reservations.models.commands import AnyCommand
from reservations.models.errors import ErrorCode
from reservations.models.results import OutcomeKind
from reservations.models.topics import DEAD_LETTERS, EVENT_TOPICS
from reservations.models.worksheet import Outcome

EVENTS = frozenset(topic.name for topic in EVENT_TOPICS.values())
#: Results are left out: who reads them knows them by their command, whose span tells as much.
SENT = EVENTS | {DEAD_LETTERS.name}


@dataclass(slots=True)
class TracedDelivery:
    """A message whose headers carry the context of the span in which it is processed."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    headers: Headers | None
    key: bytes | None
    value: bytes | None
    span: Span


class TracedLane(LaneTracing):
    """Follows the commands of one topic through the agent; it handles one batch at a time."""

    def __init__(self, tracer: Tracer, topic_prefix: str, group: str) -> None:
        self._tracer = tracer
        self._topic_prefix = topic_prefix
        self._group = group
        self._spans: defaultdict[UUID, list[Span]] = defaultdict(list)

    def handle(self, handle: Apply) -> Apply:
        """Begin a span for each message, in the trace that it carries; should the batch fail, end them all."""

        async def traced(deliveries: Sequence[Delivery]) -> Rest | None:
            self._spans.clear()
            begun = [self._begin(delivery) for delivery in deliveries]
            spans = [each.span for each in begun]
            with failing(spans):
                rest = await handle(begun)
            return _failing_with(spans, rest) if rest else None

        return traced

    def _begin(self, delivery: Delivery) -> TracedDelivery:
        headers = delivery.headers or ()
        span = messages.processing(self._tracer, delivery, self._group, context_in(headers))
        return TracedDelivery(
            delivery.topic,
            delivery.partition,
            delivery.offset,
            delivery.timestamp,
            carrying(headers, span),
            delivery.key,
            delivery.value,
            span,
        )

    def decode(self, decode: Decode) -> Decode:
        """Say which command a message is, and remember its span for the batch."""

        def traced(delivery: Delivery) -> AnyCommand | Unreadable:
            read = decode(delivery)
            span = _span_of(delivery)
            if not isinstance(read, Unreadable):
                self._spans[read.command_id].append(span)
                span.set_attribute(messages.COMMAND_TYPE, read.type)
            if read.command_id:
                span.set_attribute(messages.COMMAND_ID, str(read.command_id))
            return read

        return traced

    def engine(self, engine: Applies) -> Applies:
        """Give each attempt at a batch's transaction a span."""
        return TracedEngine(engine, self._tracer, self._spans)

    def publisher(self, publisher: Publishes) -> Publishes:
        """Give each event and dead letter a span."""
        return TracedPublisher(publisher, self._tracer, self._topic_prefix)

    def see(self, see: See) -> See:
        """Say what became of a command, and end its span: all of it was published."""

        def traced(delivery: Delivery, verdict: Verdict) -> None:
            span = _span_of(delivery)
            if span.is_recording():
                _tell(span, verdict)
            span.end()
            see(delivery, verdict)

        return traced


def _failing_with(spans: Sequence[Span], rest: Rest) -> Rest:
    async def traced() -> None:
        with failing(spans):
            await rest()

    return traced


def _span_of(delivery: Delivery) -> Span:
    # What is put around an agent is put there as a whole.
    return cast("TracedDelivery", delivery).span


def _tell(span: Span, verdict: Verdict) -> None:
    if isinstance(verdict, Outcome):
        span.set_attribute(messages.OUTCOME, verdict.kind)
        if verdict.code:
            span.set_attribute(messages.CODE, verdict.code)
        if verdict.reservation_id:
            span.set_attribute(messages.RESERVATION_ID, str(verdict.reservation_id))
        return
    code = ErrorCode.COMMAND_DEAD_LETTERED if isinstance(verdict, Poisoned) else verdict.reason.code
    span.set_attribute(messages.OUTCOME, OutcomeKind.DEAD_LETTERED)
    span.set_attribute(messages.CODE, code)
    fail(span, code)


class TracedEngine:
    """An engine each of whose transactions has a span, linked with the commands it is for.

    That of a single command is a part of its trace. One of many is nobody's part: it has a trace of its own.
    """

    def __init__(self, engine: Applies, tracer: Tracer, spans: defaultdict[UUID, list[Span]]) -> None:
        self._engine = engine
        self._tracer = tracer
        self._spans = spans

    async def apply(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        """Apply the commands within a span."""
        causes = [
            span for command_id in {each.command_id: None for each in commands} for span in self._spans[command_id]
        ]
        span = self._begin(causes)
        with use_span(span, record_exception=False, set_status_on_exception=False), lasting([span]):
            return await self._engine.apply(commands)

    def _begin(self, causes: Collection[Span]) -> Span:
        attributes = {"messaging.batch.message_count": len(causes)}
        if len(causes) == 1:
            (cause,) = causes
            return self._tracer.start_span("apply batch", set_span_in_context(cause), attributes=attributes)
        links = [Link(cause.get_span_context()) for cause in causes]
        span = self._tracer.start_span("apply batch", NOWHERE, attributes=attributes, links=links)
        if span.is_recording():
            for cause in causes:
                cause.add_link(span.get_span_context())
        return span


class TracedPublisher:
    """A publisher whose events and dead letters carry the context of the span in which each is sent."""

    def __init__(self, publisher: Publishes, tracer: Tracer, topic_prefix: str) -> None:
        self._publisher = publisher
        self._tracer = tracer
        self._topic_prefix = topic_prefix

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Publish, each event and dead letter within a span."""
        spans: list[Span] = []
        # What is not sampled has no spans to come, and carries its command's.
        traced = [
            self._traced(each, spans) if each.topic in SENT and is_sampled(each.headers) else each
            for each in publications
        ]
        with lasting(spans):
            await self._publisher.publish(traced)

    def _traced(self, publication: Publication, spans: list[Span]) -> Publication:
        key = publication.key if publication.topic in EVENTS else None
        topic = self._topic_prefix + publication.topic
        span = messages.sending(self._tracer, topic, key, context_in(publication.headers))
        spans.append(span)
        return replace(publication, headers=carrying(publication.headers, span))
