"""What operators see: metrics with right figures, health, and logs that tell of commands but not of people."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reservations.models.topics import COMMANDS
from tests.bookings import a_booking, a_command, book, perform
from tests.conditions import eventually
from tests.service import Process, Service

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

WORKER_FAMILIES = {
    "reservations_commands",
    "reservations_command_seconds",
    "reservations_batch_size",
    "reservations_transaction_seconds",
    "reservations_dead_letters",
    "reservations_consumer_lag",
    "reservations_oldest_message_seconds",
    "reservations_partitions_ahead",
    "reservations_seconds_without_progress",
    "reservations_watchdog_limit_seconds",
    "reservations_pool_connections",
    "reservations_pool_waiting",
    "reservations_pool_wait_seconds",
    "process_cpu_seconds",
    "python_gc_collections",
}
GATEWAY_FAMILIES = {
    "reservations_http_connections",
    "reservations_http_connections_ended",
    "reservations_command_backlog",
    "reservations_command_backlog_limit",
    "reservations_http_requests",
    "reservations_http_request_seconds",
    "reservations_pool_connections",
    "reservations_pool_waiting",
    "reservations_pool_wait_seconds",
    "process_cpu_seconds",
}
NAME, PHONE, NEEDS = "cAnArYnAmE", "cAnArYpHoNe", "cAnArYnEeDs"


def process_of(service: Service, name: str) -> Process:
    """Return the shared worker or gateway."""
    return next(process for process in service.processes if process.name == name)


async def scrape(service: Service, name: str) -> tuple[set[str], Samples]:
    """Return the families and the samples that a process shows."""
    status, text, headers = await service.ask("GET", f"{process_of(service, name).url()}/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    families = list(text_string_to_metric_families(text))
    samples = {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}
    return {family.name for family in families}, samples


def value_of(samples: Samples, name: str, **labels: str) -> float:
    """Return a sample; 0 while nothing was counted."""
    return samples.get((name, frozenset(labels.items())), 0)


async def growth(service: Service, name: str, before: Samples, sample: str, expected: float, **labels: str) -> None:
    """Wait until a sample has grown as expected; it is counted right after the answer went out."""

    async def look() -> bool:
        _, now = await scrape(service, name)
        return value_of(now, sample, **labels) - value_of(before, sample, **labels) == expected

    await eventually(look, limit_s=10)


async def test_the_worker_counts_commands_by_what_came_of_them(service: Service) -> None:
    families, before = await scrape(service, "worker")
    assert families >= WORKER_FAMILIES
    creation = a_command("reservation.create", a_booking())
    results = await perform(service, creation, creation)
    lost = a_command("reservation.cancel", {"reason": "WEATHER"}, reservation_id=str(results[0]["reservation_id"]))
    await perform(service, {**lost, "expected_rev": 9})
    await perform(service, {**creation, "command_id": str(uuid4()), "type": "reservation.forget"})
    for outcome, kind, code, replayed in (
        ("applied", "reservation.create", "", "false"),
        ("applied", "reservation.create", "", "true"),
        ("rejected", "reservation.cancel", "REVISION_CONFLICT", "false"),
    ):
        labels = {"type": kind, "outcome": outcome, "code": code, "replayed": replayed}
        await growth(service, "worker", before, "reservations_commands_total", 1, **labels)
    await growth(service, "worker", before, "reservations_dead_letters_total", 1, code="VALIDATION_FAILED")
    await growth(service, "worker", before, "reservations_command_seconds_count", 2, type="reservation.create")
    await growth(service, "worker", before, "reservations_batch_size_sum", 3)


async def test_the_worker_shows_its_lag_its_months_and_its_pool(service: Service) -> None:
    await book(service)
    _, samples = await scrape(service, "worker")
    lags = {name for name, labels in samples if name == "reservations_consumer_lag"}
    assert lags
    topic = service.topic_prefix + COMMANDS.name
    for partition in range(4):
        labels = frozenset({"topic": topic, "partition": str(partition)}.items())
        assert ("reservations_consumer_lag", labels) in samples
    assert value_of(samples, "reservations_partitions_ahead") == 3
    assert value_of(samples, "reservations_pool_connections", state="limit") == 10
    open_now = sum(value_of(samples, "reservations_pool_connections", state=state) for state in ("idle", "used"))
    assert 2 <= open_now <= 10

    async def nothing_waits() -> bool:
        _, now = await scrape(service, "worker")
        return not any(value for (name, _), value in now.items() if name == "reservations_consumer_lag")

    await eventually(nothing_waits)


async def test_the_gateway_counts_requests_by_route_never_by_address(service: Service) -> None:
    families, before = await scrape(service, "gateway")
    assert families >= GATEWAY_FAMILIES
    made = await book(service)
    for _ in range(3):
        await service.ask("GET", f"/reservations/{made['id']}")
    await service.ask("GET", f"/reservations/{uuid4()}")
    await service.ask("GET", f"/nonsense/{uuid4()}")
    route, sample = "/reservations/{reservation_id}", "reservations_http_requests_total"
    await growth(service, "gateway", before, sample, 1, method="POST", route="/reservations", status="201")
    await growth(service, "gateway", before, sample, 3, method="GET", route=route, status="200")
    await growth(service, "gateway", before, sample, 1, method="GET", route=route, status="404")
    await growth(service, "gateway", before, sample, 1, method="GET", route="unknown", status="404")
    await growth(service, "gateway", before, "reservations_http_request_seconds_count", 4, method="GET", route=route)
    _, text, _ = await service.ask("GET", "/metrics")
    assert made["id"] not in text


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("worker", {"postgres", "partitions", "kafka", "intake"}),
        ("gateway", {"postgres", "partitions", "kafka", "replies"}),
    ],
)
async def test_a_process_that_is_well_lives_and_is_ready_and_says_of_each_check(
    service: Service, name: str, checks: set[str]
) -> None:
    url = process_of(service, name).url()
    status, live, _ = await service.ask("GET", f"{url}/health/live")
    assert (status, live) == (200, {"status": "live"})
    status, ready, _ = await service.ask("GET", f"{url}/health/ready")
    assert (status, ready["status"]) == (200, "ready")
    assert ready["checks"] == dict.fromkeys(ready["checks"], "ok")
    assert set(ready["checks"]) >= checks


def lines_of(service: Service) -> Sequence[str]:
    """Return every log line of the shared processes."""
    return [line for process in service.processes for line in process.raw_lines()]


async def test_a_commands_log_line_carries_its_ids_and_the_trace_of_its_request(service: Service) -> None:
    trace = uuid4().hex
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "Prefer": "respond-async"}
    _, accepted, _ = await service.ask("POST", "/reservations", json=a_booking(), headers=headers)

    async def logged() -> Any:
        lines = [json.loads(line) for line in lines_of(service) if trace in line]
        return {line["event"]: line for line in lines} if len(lines) == 2 else None

    found = await eventually(logged)
    assert found["request"]["trace_id"] == found["command"]["trace_id"] == trace
    assert (found["request"]["process"], found["request"]["status"]) == ("gateway", 202)
    assert found["request"]["command_id"] == accepted["command_id"]
    command = found["command"]
    assert (command["process"], command["command_id"]) == ("worker", accepted["command_id"])
    assert (await service.ask("GET", f"/reservations/{command['reservation_id']}"))[0] == 200


async def test_an_errors_trace_id_is_in_the_logs(service: Service) -> None:
    _, refusal, _ = await service.ask("POST", "/reservations", json={})

    async def logged() -> list[str]:
        return [line for line in lines_of(service) if refusal["trace_id"] in line]

    (line,) = await eventually(logged)
    assert json.loads(line)["status"] == 400


async def test_logs_are_objects_and_hold_nothing_personal(service: Service) -> None:
    person = {
        "special_requirements": NEEDS,
        "emergency_contact": {"name": NAME, "phone": PHONE, "relationship": NAME},
    }
    made = await book(service, **person)
    path = f"/reservations/{made['id']}"
    await service.ask("PATCH", path, json={**person, "_rev": 1, "party_size": 2})
    await service.ask("PATCH", path, json={**person, "_rev": 1})
    await service.ask("POST", "/reservations", json=a_booking(**person, party_size=0))
    await service.ask("POST", "/reservations", json=a_booking(**person, emergency_contact_2=NAME))
    broken = a_command("reservation.create", a_booking(**{**person, "special_requirements": f"{NEEDS}\0"}))
    for command in (a_command("reservation.create", a_booking(**person)), broken):
        await perform(service, command)

    async def dead_letter_logged() -> bool:
        return any(broken["command_id"] in line for line in lines_of(service))

    await eventually(dead_letter_logged)
    lines = lines_of(service)
    for canary in (NAME, PHONE, NEEDS):
        assert [line for line in lines if canary in line] == []
    for line in map(json.loads, lines):
        assert line.keys() >= {"event", "level", "timestamp", "process"}, line
