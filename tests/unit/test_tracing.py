"""Tracing: off, it is not there; on, it follows commands and batches, and says nothing of what an error says."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservations.agents.decoding import decode_command
from reservations.agents.publications import Publication
from reservations.app.settings import Settings, load_settings
from reservations.app.settings import tracing as tracing_settings
from reservations.app.tracing import Tracing, begin
from reservations.models.topics import CREATED, DEAD_LETTERS, RESULTS
from tests.bookings import a_booking, a_command, encoded

pytest.importorskip("opentelemetry.sdk", reason="tracing is not installed: pip install 'svc-reservations[tracing]'")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext

from reservations.app.tracing.lane import TracedDelivery, TracedLane
from reservations.app.tracing.opentelemetry import LinkedSampler, resource_of
from reservations.app.tracing.spans import carrying, context_in

CANARY = "cAnArY"
SAMPLED, UNSAMPLED = (("traceparent", f"00-{'a' * 32}-{'b' * 16}-{flags}".encode()) for flags in ("01", "00"))
SAYS_NOTHING = "import reservations.app.worker, reservations.app.gateway, sys; print(*sys.modules)"


def test_a_process_without_tracing_imports_nothing_of_it() -> None:
    loaded = subprocess.check_output([sys.executable, "-c", SAYS_NOTHING], text=True).split()
    assert "reservations.app.tracing.seams" in loaded
    assert [name for name in loaded if name.startswith("opentelemetry")] == []


def test_off_every_part_is_left_as_it_is() -> None:
    off, part = begin(Settings(), "worker"), object()
    assert type(off) is Tracing
    lane: Any = off.lane()
    assert [seam(part) for seam in (lane.handle, lane.decode, lane.engine, lane.publisher, lane.see)] == [part] * 5
    assert off.producer(part) is part
    assert off.connection_class() is asyncpg.Connection
    assert (off.middleware(), off.client()) == (None, [])


def test_the_standards_own_switch_turns_it_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("TRACING", "on")
    assert type(begin(load_settings(), "worker")) is Tracing


def test_without_opentelemetry_the_setting_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACING", "on")
    monkeypatch.setattr(tracing_settings, "EXPORTER", "opentelemetry.that_is_not_there.exporter")
    with pytest.raises(SystemExit, match=r"TRACING: needs OpenTelemetry.*pip install 'svc-reservations\[tracing\]'"):
        load_settings()


def test_another_protocol_than_http_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACING", "on")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(SystemExit, match="TRACING: OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"):
        load_settings()


def test_processes_have_names_unless_the_standards_variables_say_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource_of("worker").attributes["service.name"] == "svc-reservations-worker"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "bookings")
    assert resource_of("worker").attributes["service.name"] == "bookings"


NAMES = st.sampled_from(["traceparent", "tracestate", "content-type"])


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=80) | st.just(SAMPLED[1]))))
def test_whatever_headers_a_message_has_its_span_is_carried_and_the_others_stay(headers: list[Any]) -> None:
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False))
    context_in(headers)
    carried = carrying(headers, span)
    assert dict(carried)["traceparent"] == f"00-{1:032x}-{2:016x}-00".encode()
    others = [header for header in headers if header[0] == "content-type"]
    assert carried == [*others, ("traceparent", dict(carried)["traceparent"])]


class Journey:
    """A traced agent around an engine and a publisher that do nothing, and the spans of what went through."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.published: list[Publication] = []
        self.error: Exception | None = None
        # Every batch would be dropped, if it were not for its links.
        provider = TracerProvider(LinkedSampler(ParentBased(ALWAYS_OFF)), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.lane = TracedLane(provider.get_tracer("tests"), "prefix.", "group")
        self._decode = self.lane.decode(decode_command)
        self._engine = self.lane.engine(self)

    async def apply(self, commands: Sequence[Any]) -> list[Any]:
        """Apply nothing, or fail."""
        if self.error:
            raise self.error
        return []

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Keep what is published."""
        self.published += publications

    async def handle(self, *deliveries: TracedDelivery) -> None:
        """Send deliveries through the agent."""
        await self.lane.handle(self._handle)(deliveries)

    async def _handle(self, deliveries: Sequence[Any]) -> None:
        read: list[Any] = [self._decode(delivery) for delivery in deliveries]
        await self._engine.apply(read)
        for delivery in deliveries:
            delivery.span.end()

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name that were sent."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


def a_delivery(*headers: tuple[str, bytes]) -> Any:
    """Return a message with a command."""
    value = encoded(a_command("reservation.create", a_booking()))
    return TracedDelivery("commands", 3, 7, 0.0, headers, b"key", value, span=None)  # type: ignore[arg-type]


async def test_a_batch_of_one_is_part_of_its_commands_trace_and_one_of_many_is_linked_with_each() -> None:
    journey = Journey()
    await journey.handle(a_delivery(SAMPLED))
    ((process,), (batch,)) = journey.spans("process commands"), journey.spans("apply batch")
    assert batch.parent is not None
    assert process.context is not None
    assert batch.parent.span_id == process.context.span_id
    assert not batch.links
    journey.exporter.clear()
    await journey.handle(a_delivery(SAMPLED), a_delivery(UNSAMPLED), a_delivery(SAMPLED))
    (batch,) = journey.spans("apply batch")
    assert batch.parent is None
    assert len(batch.links) == 3
    sampled = {span.context.span_id for span in journey.spans("process commands") if span.context}
    assert len(sampled) == 2
    assert sampled < {link.context.span_id for link in batch.links}


async def test_a_batch_of_which_nothing_is_sampled_is_not_sampled() -> None:
    journey = Journey()
    await journey.handle(a_delivery(UNSAMPLED), a_delivery(UNSAMPLED))
    assert not journey.exporter.get_finished_spans()


async def test_an_errors_name_and_code_are_told_and_never_its_text() -> None:
    journey = Journey()
    journey.error = asyncpg.DataError(f"will not keep {CANARY}")
    with pytest.raises(asyncpg.DataError):
        await journey.handle(a_delivery(SAMPLED), a_delivery(SAMPLED))
    told = journey.exporter.get_finished_spans()
    assert [span.name for span in told] == ["apply batch", "process commands", "process commands"]
    for span in told:
        assert span.attributes is not None
        assert (span.attributes["error.type"], span.attributes["db.response.status_code"]) == ("DataError", "22000")
        assert not span.events
        assert CANARY not in span.to_json()


async def test_events_and_dead_letters_carry_the_span_in_which_they_are_sent_and_results_their_commands() -> None:
    journey, key = Journey(), str(uuid4()).encode()
    topics = [CREATED.name, DEAD_LETTERS.name, RESULTS.name]
    other = ("content-type", b"application/json")
    await journey.lane.publisher(journey).publish([Publication(topic, key, b"", [other, SAMPLED]) for topic in topics])
    event, letter, result = journey.published
    assert result.headers == [other, SAMPLED]
    for sent, topic in ((event, CREATED.name), (letter, DEAD_LETTERS.name)):
        (span,) = journey.spans(f"send prefix.{topic}")
        assert span.context is not None
        traceparent = f"00-{'a' * 32}-{span.context.span_id:016x}-01".encode()
        assert list(sent.headers) == [other, ("traceparent", traceparent)]
    # A dead letter's key is anybody's.
    assert [
        (span.attributes or {}).get("messaging.kafka.message.key") for span in journey.exporter.get_finished_spans()
    ] == [key.decode(), None]
