"""With TRACING=on a collector is told one trace of each request, from REST through Kafka and SQL to the events."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from uuid import uuid4

import pytest
from aiohttp import ClientConnectorError, ClientSession, web
from aiohttp.test_utils import TestServer

from reservations.models.topics import COMMANDS, CREATED, DEAD_LETTERS
from tests.bookings import a_booking, a_command, a_trace, decoded, new_reservation_id, perform
from tests.collector import Collector, Told, a_collector
from tests.conditions import eventually
from tests.own_service import QUICK, a_running_service
from tests.servers import Servers
from tests.service import Service

pytest.importorskip("opentelemetry.sdk", reason="tracing is not installed: pip install 'svc-reservations[tracing]'")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from reservations.app.tracing.http import traced_calls

#: Nothing listens there.
DISCARD = 9
SERVER_SPAN, PARENT = "POST /reservations", "b7" * 8
STOPPED_WITHIN_S = 6
#: So many spans may wait in a process; each request has two or more.
QUEUED = 300


@pytest.fixture(scope="module")
async def collector() -> AsyncIterator[Collector]:
    """Give a collector."""
    async with a_collector() as made:
        yield made


@pytest.fixture(scope="module")
async def traced(
    servers: Servers, template: str, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Give a running service that tells the collector of its spans."""
    folder = tmp_path_factory.mktemp("traced")
    settings = {**QUICK, **collector.settings(), "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUED)}
    settings["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = "50"
    async with a_running_service(servers, template, folder, settings, workers=1) as service:
        yield service


def the(spans: list[Told], name: str) -> Told:
    """Return the one span of that name."""
    (found,) = (span for span in spans if span.name == name)
    return found


def carried(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return trace and span of a trace context."""
    _, trace_id, span_id, _ = headers["traceparent"].split("-")
    return trace_id, span_id


async def test_a_request_is_one_trace_from_rest_through_kafka_and_sql_to_its_event(
    traced: Service, collector: Collector
) -> None:
    trace_id = uuid4().hex
    async with traced.listening(CREATED.name) as listener:
        status, made, headers = await traced.ask(
            "POST", "/reservations", json=a_booking(), headers={"traceparent": f"00-{trace_id}-{PARENT}-01"}
        )
        assert status == 201
        await listener.until(lambda heard: made["id"] in [each["reservation_id"] for each in decoded(heard)])
    (record,) = (record for record in listener.heard if record.key == made["id"].encode())
    prefix = traced.topic_prefix
    sent, processed = f"send {prefix}{COMMANDS.name}", f"process {prefix}{COMMANDS.name}"
    told = f"send {prefix}{CREATED.name}"
    wanted = {SERVER_SPAN, sent, processed, told}
    spans = await collector.until(lambda found: {span.name for span in found} >= wanted, trace_id)

    request, command, process, event = (the(spans, name) for name in (SERVER_SPAN, sent, processed, told))
    batch = the(spans, "apply batch")
    statements = [span for span in spans if span.parent_id == batch.span_id]
    assert [span.parent_id for span in (request, command, process, batch, event)] == [
        PARENT,
        request.span_id,
        command.span_id,
        process.span_id,
        process.span_id,
    ]
    assert [span.kind for span in (request, command, process, batch, event)] == [
        "server",
        "producer",
        "consumer",
        "internal",
        "producer",
    ]
    assert {span.kind for span in statements} == {"client"}
    names = [span.name for span in sorted(statements, key=lambda span: span.begun_ns)]
    assert (names[0], names[-1]) == ("BEGIN", "COMMIT")
    assert {"inbox.of_messages", "reservations.insert", "inbox.insert"} <= set(" ".join(names).split())
    assert not any(span.is_error for span in spans)

    # The answer, the event and the logs carry the same trace.
    assert carried(headers) == (trace_id, request.span_id)
    assert carried({name: value.decode() for name, value in record.headers}) == (trace_id, event.span_id)
    lines = [line for process in traced.processes for line in process.lines() if line.get("trace_id") == trace_id]
    assert {line["event"] for line in lines} == {"request", "command"}
    assert process.attributes["reservations.command_id"] == request.attributes["reservations.command_id"]
    assert process.attributes["reservations.reservation_id"] == made["id"]
    assert process.attributes["messaging.destination.partition.id"] == str(
        command.attributes["messaging.destination.partition.id"]
    )
    assert process.attributes["messaging.kafka.offset"] == command.attributes["messaging.kafka.offset"]


async def test_the_transaction_of_many_commands_has_a_trace_of_its_own_linked_with_theirs(
    traced: Service, collector: Collector
) -> None:
    commands = [a_command("reservation.create", a_booking()) for _ in range(40)]
    await perform(traced, *commands)
    ids = {command["command_id"] for command in commands}

    def of_commands(found: list[Told]) -> list[Told]:
        return [span for span in found if span.attributes.get("reservations.command_id") in ids]

    spans = await collector.until(lambda found: len(of_commands(found)) == len(ids))
    processes = {span.span_id: span for span in of_commands(spans)}
    batches = [span for span in spans if span.name == "apply batch" and set(span.links) & processes.keys()]
    assert batches
    assert {span.trace_id for span in batches}.isdisjoint(span.trace_id for span in processes.values())
    for batch in batches:
        assert not batch.parent_id
        assert batch.attributes["messaging.batch.message_count"] == len(batch.links) > 1
        assert all(processes[span_id].links == [batch.span_id] for span_id in batch.links)
        assert any(span.parent_id == batch.span_id and span.name == "COMMIT" for span in spans)


async def test_what_its_caller_does_not_sample_is_not_sent_but_goes_on_in_its_trace(
    traced: Service, collector: Collector
) -> None:
    unsampled, sampled = uuid4().hex, uuid4().hex
    for trace_id, flags in ((unsampled, "00"), (sampled, "01")):
        headers = {"traceparent": f"00-{trace_id}-{PARENT}-{flags}"}
        status, _, told = await traced.ask("POST", "/reservations", json=a_booking(), headers=headers)
        assert (status, told["traceparent"].split("-")[1::2]) == (201, [trace_id, flags])
    topic = f"process {traced.topic_prefix}{COMMANDS.name}"
    await collector.until(lambda found: topic in {span.name for span in found}, sampled)
    assert not [span for span in collector.spans if span.trace_id == unsampled]


async def test_a_refusal_and_a_dead_letter_say_so_by_their_codes(traced: Service, collector: Collector) -> None:
    broken = a_command("reservation.create", a_booking(party_size=0))
    lost = a_command("reservation.cancel", {"reason": "WEATHER"}, reservation_id=new_reservation_id())
    await perform(traced, broken, lost)
    trace = a_trace()
    await traced.send(b"nonsense", b"key", headers=[trace])

    def outcomes(found: list[Told]) -> dict[object, Told]:
        return {span.attributes.get("reservations.command_id"): span for span in found if span.kind == "consumer"}

    wanted = {broken["command_id"], lost["command_id"]}
    spans = outcomes(await collector.until(lambda found: outcomes(found).keys() >= wanted))
    aside, refused = spans[broken["command_id"]], spans[lost["command_id"]]
    assert (aside.attributes["reservations.outcome"], aside.is_error) == ("dead_lettered", True)
    assert aside.attributes["error.type"] == aside.attributes["reservations.code"] == "VALIDATION_FAILED"
    assert (refused.attributes["reservations.outcome"], refused.is_error) == ("rejected", False)

    letter = f"send {traced.topic_prefix}{DEAD_LETTERS.name}"
    spans_of_nonsense = await collector.until(
        lambda found: letter in {span.name for span in found}, carried({trace[0]: trace[1].decode()})[0]
    )
    assert (
        the(spans_of_nonsense, letter).parent_id
        == the(spans_of_nonsense, f"process {traced.topic_prefix}{COMMANDS.name}").span_id
    )


async def test_health_and_metrics_have_no_spans_but_reads_have(traced: Service, collector: Collector) -> None:
    for path in ("/health/live", "/metrics", f"/reservations/{new_reservation_id()}"):
        _, _, headers = await traced.ask("GET", path)
    spans = await collector.until(lambda found: len(found) > 1, carried(headers)[0])
    read = the(spans, "GET /reservations/{reservation_id}")
    assert (read.attributes["http.response.status_code"], read.is_error) == (404, False)
    assert the(spans, "reservations.find").parent_id == read.span_id
    assert not [span for span in collector.spans if "/health" in span.name or "/metrics" in span.name]


async def test_a_call_to_a_neighbour_hands_the_trace_on_and_does_not_say_what_it_asks_for() -> None:
    exporter, heard = InMemorySpanExporter(), []

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.headers.get("traceparent", ""))
        return web.json_response({}, status=503 if "away" in request.path else 200)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer, application = provider.get_tracer("tests"), web.Application()
    application.add_routes([web.get("/{anything}", answer)])
    async with TestServer(application) as server, ClientSession(trace_configs=[traced_calls(tracer)]) as session:
        async with session.get(server.make_url("/nobody-asked")):
            assert not exporter.get_finished_spans()
        with tracer.start_as_current_span("apply batch"):
            for path in ("/guest-7", "/guest-7-away"):
                async with session.get(server.make_url(path)):
                    pass
            with pytest.raises(ClientConnectorError):
                await session.get(f"http://{server.host}:{DISCARD}/guest-7")
    well, away, unreachable, batch = exporter.get_finished_spans()
    assert heard[0] == ""
    assert [each.split("-")[2] for each in heard[1:]] == [f"{span.context.span_id:016x}" for span in (well, away)]
    assert {span.parent and span.parent.span_id for span in (well, away, unreachable)} == {batch.context.span_id}
    errors = [(span.attributes or {}).get("error.type") for span in (well, away, unreachable)]
    assert errors == [None, "503", "ClientConnectorError"]
    assert "guest-7" not in "".join(span.to_json() for span in (well, away, unreachable))


async def test_at_last_a_collector_that_never_answers_hurts_neither_requests_nor_stopping(
    traced: Service, collector: Collector
) -> None:
    collector.is_mute = True
    reads = [traced.ask("GET", f"/reservations/{new_reservation_id()}") for _ in range(QUEUED)]
    assert {status for status, _, _ in await asyncio.gather(*reads)} == {404}
    writes = [traced.ask("POST", "/reservations", json=a_booking()) for _ in range(QUEUED)]
    assert {status for status, _, _ in await asyncio.gather(*writes)} == {201}

    async def both_drop() -> bool:
        dropping = [[line for line in each.raw_lines() if "Queue full" in line] for each in traced.processes]
        return collector.held >= len(dropping) and all(dropping)

    await eventually(both_drop)
    begun = monotonic()
    assert await asyncio.gather(*(process.stop() for process in traced.processes)) == [0, 0]
    assert monotonic() - begun < STOPPED_WITHIN_S
