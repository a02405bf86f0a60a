"""`reservations doctor`: all is well, or each thing that is amiss is named with its cure."""

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from reservations.app.doctor.booking import GUEST_ID, TRIP_ID
from reservations.app.doctor.examination import By, Plan, examine
from reservations.app.doctor.findings import Finding, Verdict
from reservations.app.serving import serving
from reservations.app.settings import Settings
from reservations.models.topics import COMMANDS
from tests.bookings import book, decoded
from tests.conftest import prefix
from tests.databases import beside, execute, scratch_database
from tests.servers import Servers
from tests.service import Service, run

Found = dict[str, Finding]
#: Nobody listens there.
NOWHERE = "127.0.0.1:1"
NOTHING = Plan(By.NO_WAY)


def url_of(service: Service, name: str) -> str:
    """Return where the worker or gateway listens, or where nobody does."""
    return next((str(each.url()) for each in service.processes if each.name == name), f"http://{NOWHERE}")


async def examined(service: Service, plan: Plan = NOTHING, **settings: str) -> Found:
    """Return what the doctor finds, by check."""
    given = {name.lower(): value for name, value in {**service.variables(), **settings}.items()}
    where = replace(
        plan, gateway_url=plan.gateway_url or url_of(service, "gateway"), worker_url=url_of(service, "worker")
    )
    found = [each async for each in examine(Settings(**given), where)]  # type: ignore[arg-type]
    return {each.check: each for each in found}


def wrong(found: Found) -> dict[str, str]:
    """Return the cures of what is wrong, by check."""
    return {check: str(each.cure) for check, each in found.items() if each.verdict is Verdict.WRONG}


async def bookings(service: Service) -> list[dict[str, Any]]:
    """Return what the doctor's guest has booked, newest first."""
    _, page, _ = await service.ask("GET", f"/reservations?guest_id={GUEST_ID}&trip_id={TRIP_ID}")
    found: list[dict[str, Any]] = page["content"]
    return found


@pytest.mark.parametrize(("by", "steps"), [(By.REST, {"create", "read", "cancel"}), (By.KAFKA, {"create", "cancel"})])
async def test_nothing_is_wrong_with_a_healthy_deployment_and_nothing_stays_booked(
    service: Service, by: By, steps: set[str]
) -> None:
    found = await examined(service, Plan(by))
    assert wrong(found) == {}
    assert {"database.schema", "database.months", "broker.topics", "broker.lag", "worker", "gateway"} <= set(found)
    assert {each for each in found if each.startswith("booking")} == {f"booking.{step}" for step in steps}
    assert all((found[f"booking.{step}"].seconds or 0) > 0 for step in steps)
    assert {each["status"] for each in await bookings(service)} == {"CANCELLED"}


async def test_the_command_line_says_each_check_and_ends_with_1_when_something_is_wrong(service: Service) -> None:
    where = ("--gateway-url", url_of(service, "gateway"), "--worker-url", url_of(service, "worker"))
    code, output, _ = await run(service.variables(), "doctor", "--no-booking", *where)
    assert (code, output.splitlines()[-1]) == (0, "Nothing is wrong.")
    unreachable = {**service.variables(), "KAFKA_BOOTSTRAP_SERVERS": NOWHERE}
    code, output, complaints = await run(unreachable, "doctor", "--no-booking", "--json", *where)
    rows = {row["check"]: row for row in map(json.loads, output.splitlines())}
    assert (code, complaints, rows["broker.reach"]["verdict"]) == (1, "", "wrong")
    code, output, _ = await run({**service.variables(), "HOLD_HOURS": "soon"}, "doctor", "--no-booking")
    assert code == 1
    assert "HOLD_HOURS" in output


async def test_without_a_booking_nothing_is_changed(service: Service) -> None:
    before = await bookings(service)
    found = await examined(service)
    assert found["booking"].verdict is Verdict.SKIPPED
    assert await bookings(service) == before


async def test_a_bookings_leftover_is_cancelled_by_the_next_examination(service: Service) -> None:
    left = await book(service, guest_id=str(GUEST_ID), trip_id=str(TRIP_ID))
    found = await examined(service, Plan(By.REST))
    assert (wrong(found), found["booking.search"].verdict) == ({}, Verdict.WARNING)
    _, now, _ = await service.ask("GET", f"/reservations/{left['id']}")
    assert now["status"] == "CANCELLED"


async def test_a_database_that_is_gone_is_named(service: Service) -> None:
    gone = await examined(service, DATABASE_URL=beside(service.database_url, "nothing_of_that_name"))
    assert wrong(gone) == {"database.reach": "Correct the database's name in DATABASE_URL, or create that database."}
    stopped = await examined(service, DATABASE_URL=f"postgresql://nobody@{NOWHERE}/x")
    assert wrong(stopped) == {
        "database.reach": "Start PostgreSQL, or correct host and port in DATABASE_URL; see its log."
    }
    assert "secret" not in str(stopped)


async def test_a_broker_that_is_gone_is_named_and_the_rest_is_examined(service: Service) -> None:
    found = await examined(service, Plan(By.KAFKA), KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    assert set(wrong(found)) == {"broker.reach", "booking.kafka"}
    assert "Start the broker" in wrong(found)["broker.reach"]
    assert found["database.schema"].verdict is Verdict.OK


async def test_topics_that_are_missing_or_small_are_named(service: Service) -> None:
    found = await examined(service, KAFKA_TOPIC_PREFIX=prefix())
    assert list(wrong(found)) == ["broker.topics"]
    assert "reservations topics" in wrong(found)["broker.topics"]
    assert list(wrong(await examined(service, KAFKA_PARTITIONS="64"))) == ["broker.partitions"]


async def test_a_schema_of_another_version_is_named(servers: Servers, template: str, service: Service) -> None:
    async with scratch_database(servers.database_url, template) as other:
        await execute(other, "DELETE FROM reservations.schema_migrations WHERE version > 11")
        assert wrong(await examined(service, DATABASE_URL=other)) == {"database.schema": "Run `reservations migrate`."}
    async with scratch_database(servers.database_url) as empty:
        assert wrong(await examined(service, DATABASE_URL=empty)) == {"database.schema": "Run `reservations migrate`."}


async def test_a_worker_that_is_stopped_is_named_and_nothing_will_stay_booked_when_it_is_back(
    own_service: Service,
) -> None:
    found = await examined(own_service, Plan(By.KAFKA, limit_s=0.3))
    assert set(wrong(found)) == {"worker", "gateway", "booking.create"}
    assert "reservations keep worker" in wrong(found)["worker"]
    assert "worker runs" in wrong(found)["booking.create"]
    sent = await own_service.read(COMMANDS.name)
    assert [each["type"] for each in decoded(sent)] == ["reservation.create", "reservation.cancel"]
    assert len({each.key for each in sent}) == 1  # so the order is kept


async def test_a_gateway_that_has_no_result_or_refuses_is_named_with_the_cure(service: Service) -> None:
    answers = iter([(202, {}), (401, {"error": "UNAUTHENTICATED", "message": "There is no token."})])

    async def search(_: web.Request) -> web.Response:
        return web.json_response({"content": []})

    async def create(_: web.Request) -> web.Response:
        status, body = next(answers)
        return web.json_response(body, status=status)

    application = web.Application()
    application.add_routes([web.get("/reservations", search), web.post("/reservations", create)])
    async with serving(application, "127.0.0.1", 0, stop_deadline_s=1) as url:
        late = await examined(service, Plan(By.REST, gateway_url=url))
        refused = await examined(service, Plan(By.REST, gateway_url=url))
    assert "worker runs" in wrong(late)["booking.create"]
    assert "RESERVATIONS_TOKEN" in wrong(refused)["booking.create"]
