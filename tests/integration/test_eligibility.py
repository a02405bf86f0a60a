"""Eligibility in the running service: what neighbours say is heeded, and what they fail to say harms nobody else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from tests.bookings import a_booking, a_command, a_payment, book, pay, perform
from tests.catalog import PRICE, Catalog, a_catalog
from tests.conditions import eventually
from tests.neighbourhood import Behaviour, drop, hang, says
from tests.own_service import QUICK, a_running_service
from tests.servers import Servers
from tests.service import Service

Json = dict[str, Any]

BUDGET_S = 1.5
SLACK_S = 4
YOUNG, OLD = "2020-01-01", "1980-01-01"
DIVER = "DIVER"


@pytest.fixture(scope="module")
async def catalog() -> AsyncIterator[Catalog]:
    """Give guest profiles and a trip catalog."""
    async with a_catalog() as catalog:
        yield catalog


@pytest.fixture(scope="module")
async def careful(
    servers: Servers, template: str, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Give a service that asks its neighbours, with one partition: every command is in line behind all others."""
    settings = {**QUICK, **catalog.settings(), "KAFKA_PARTITIONS": "1", "ELIGIBILITY_BUDGET_S": str(BUDGET_S)}
    folder = tmp_path_factory.mktemp("careful")
    async with a_running_service(servers, template, folder, settings, workers=1) as service:
        yield service


def priced(**changes: Any) -> Json:
    """Return a booking that the catalog prices."""
    booking = a_booking(**changes)
    del booking["total_amount"]
    return booking


def in_days(days: int) -> str:
    """Return a date so many days ahead."""
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


async def refused(service: Service, booking: Json) -> list[str]:
    """Try to book; return the requirements that failed."""
    status, refusal, _ = await service.ask("POST", "/reservations", json=booking)
    assert (status, refusal["error"]) == (422, "GUEST_NOT_ELIGIBLE"), refusal
    assert all(each["detail"] for each in refusal["failed_requirements"])
    _, found, _ = await service.ask("GET", "/reservations", params={"guest_id": booking["guest_id"]})
    assert found["total_elements"] == 0
    return [each["requirement"] for each in refusal["failed_requirements"]]


def a_failure(catalog: Catalog, requirement: str) -> Json:
    """Return a booking that fails one requirement."""
    expired = [{"certification": DIVER, "expiry_date": "2027-06-11"}]
    dive = {"required_certifications": [DIVER]}
    failing: dict[str, Json] = {
        "GUEST_EXISTS": {"guest_id": catalog.nobody()},
        "GUEST_ACTIVE": {"participants": [{"guest_id": catalog.guest(status="SUSPENDED")}]},
        "TRIP_EXISTS": {"trip_id": catalog.nobody()},
        "TRIP_ACTIVE": {"trip_id": catalog.trip(status="RETIRED")},
        "PARTY_MINIMUM": {"trip_id": catalog.trip(min_participants=3), "party_size": 2},
        "PARTY_MAXIMUM": {"trip_id": catalog.trip(max_participants=3), "party_size": 4},
        "AGE_MINIMUM": {
            "trip_id": catalog.trip(age_minimum=12),
            "participants": [{"guest_id": catalog.guest(date_of_birth=day)} for day in (OLD, YOUNG)],
        },
        "CERTIFICATION": {"trip_id": catalog.trip(**dive), "guest_id": catalog.guest(expired)},
        "TRIP_DATE_IN_FUTURE": {"trip_date": in_days(0)},
        "BOOKING_WINDOW": {"trip_date": in_days(740)},
    }
    return priced(**failing[requirement])


@pytest.mark.parametrize(
    "requirement",
    [
        "GUEST_EXISTS",
        "GUEST_ACTIVE",
        "TRIP_EXISTS",
        "TRIP_ACTIVE",
        "PARTY_MINIMUM",
        "PARTY_MAXIMUM",
        "AGE_MINIMUM",
        "CERTIFICATION",
        "TRIP_DATE_IN_FUTURE",
        "BOOKING_WINDOW",
    ],
)
async def test_a_booking_that_fails_one_requirement_is_told_which(
    careful: Service, catalog: Catalog, requirement: str
) -> None:
    assert await refused(careful, a_failure(catalog, requirement)) == [requirement]


async def test_all_that_is_wrong_is_told_together(careful: Service, catalog: Catalog) -> None:
    trip = catalog.trip(status="DRAFT", min_participants=4, age_minimum=18, required_certifications=[DIVER])
    party = [catalog.nobody(), catalog.guest([{"certification": DIVER}], date_of_birth=YOUNG), catalog.guest()]
    booking = priced(
        guest_id=catalog.guest(status="DEACTIVATED"),
        trip_id=trip,
        trip_date="2026-01-31",
        participants=[{"guest_id": guest} for guest in party],
    )
    assert await refused(careful, booking) == [
        "GUEST_ACTIVE",
        "GUEST_EXISTS",
        "TRIP_ACTIVE",
        "PARTY_MINIMUM",
        "AGE_MINIMUM",
        "CERTIFICATION",
        "TRIP_DATE_IN_FUTURE",
    ]


async def test_who_meets_every_requirement_is_booked_at_the_catalog_s_price(careful: Service, catalog: Catalog) -> None:
    trip = catalog.trip(min_participants=2, max_participants=2, age_minimum=12, required_certifications=[DIVER])
    certified = [{"certification": DIVER, "expiry_date": "2027-06-12"}]
    guests = [catalog.guest(certified, date_of_birth="2015-06-12"), catalog.guest(certified)]
    party = [{"guest_id": guest} for guest in guests]
    status, made, _ = await careful.ask("POST", "/reservations", json=priced(trip_id=trip, participants=party))
    assert (status, made["total_amount"]) == (201, 2 * PRICE)


async def was_asked(catalog: Catalog, key: str) -> bool:
    """Tell whether somebody asked for that guest or trip."""
    return any(key in path for path in catalog.asked)


BEHAVIOURS = [
    pytest.param(hang, id="answers-in-ten-seconds"),
    pytest.param(says("out of order", status=500), id="fails"),
    pytest.param(says('{"status": "ACT'), id="answers-garbage"),
    pytest.param(says('{"status": 7, "max_participants": "many"}'), id="answers-nonsense"),
    pytest.param(drop, id="drops-connections"),
]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("failing", ["trip_id", "guest_id"])
async def test_a_neighbour_that_fails_delays_others_for_its_budget_only_and_the_booking_can_be_tried_again(
    careful: Service, catalog: Catalog, behaviour: Behaviour, failing: str
) -> None:
    other = await book(careful, total_amount=PRICE)
    booking, key = priced(), {"Idempotency-Key": str(uuid4())}
    catalog.misbehaves[booking[failing]] = behaviour
    began = monotonic()
    refusing = asyncio.create_task(careful.ask("POST", "/reservations", json=booking, headers=key))
    await eventually(lambda: was_asked(catalog, booking[failing]))
    (cancel_status, cancelled, _), (book_status, booked, _), (status, refusal, headers) = await asyncio.gather(
        careful.ask("DELETE", f"/reservations/{other['id']}", params={"reason": "WEATHER"}),
        careful.ask("POST", "/reservations", json=priced()),
        refusing,
    )
    assert monotonic() - began < BUDGET_S + SLACK_S
    assert (status, refusal["error"]) == (503, "UPSTREAM_UNAVAILABLE")
    assert int(headers["Retry-After"]) > 0
    assert (cancel_status, cancelled["status"]) == (200, "CANCELLED")
    assert (book_status, booked["status"]) == (201, "CONFIRMED")
    del catalog.misbehaves[booking[failing]]
    status, made, headers = await careful.ask("POST", "/reservations", json=booking, headers=key)
    assert (status, "Idempotency-Replayed" in headers) == (201, False), made
    status, again, headers = await careful.ask("POST", "/reservations", json=booking, headers=key)
    assert (status, again, "Idempotency-Replayed" in headers) == (201, made, True)


async def test_a_refusal_that_passes_is_told_to_kafka_producers_and_not_kept(
    careful: Service, catalog: Catalog
) -> None:
    command = a_command("reservation.create", priced())
    catalog.misbehaves[command["payload"]["trip_id"]] = drop
    (refusal,) = await perform(careful, command)
    assert (refusal["outcome"], refusal["error"]["code"]) == ("rejected", "UPSTREAM_UNAVAILABLE")
    catalog.misbehaves.clear()
    (made,) = await perform(careful, command)
    assert (made["outcome"], made["replayed"]) == ("applied", False)


async def restart(service: Service) -> Service:
    """Start the service's worker anew, so that it remembers nothing that the neighbours said."""
    old = service.processes[-1]
    assert await old.stop() == 0
    again = replace(service)
    await again.start("worker")
    return again


async def test_only_a_change_of_the_terms_needs_the_neighbours(careful: Service, catalog: Catalog) -> None:
    made = await book(careful, total_amount=2 * PRICE, party_size=2, awaiting_payment=True)
    careful = await restart(careful)
    path, asked = f"/reservations/{made['id']}", len(catalog.asked)
    catalog.misbehaves |= {made["trip_id"]: drop, made["guest_id"]: drop}
    free = (
        ("PATCH", path, {"json": {"special_requirements": "Vegan", "_rev": 1}}),
        ("PATCH", path, {"json": {"gear_package_id": "alpine-2", "emergency_contact": None, "_rev": 2}}),
        ("PUT", f"{path}/status", {"json": {"target_status": "CONFIRMED", "_rev": 3}}),
    )
    for method, address, options in free:
        status, answer, _ = await careful.ask(method, address, **options)
        assert status == 200, answer
    (paid,) = await pay(careful, a_payment(made["id"], PRICE))
    assert (paid["outcome"], len(catalog.asked)) == ("applied", asked)
    for method, address, body in (
        ("PATCH", path, {"party_size": 3, "_rev": 5}),
        ("PATCH", path, {"trip_date": "2027-06-13", "_rev": 5}),
        ("POST", f"{path}/participants", {"guest_id": str(uuid4())}),
    ):
        status, answer, _ = await careful.ask(method, address, json=body)
        assert (status, answer["error"]) == (503, "UPSTREAM_UNAVAILABLE")
    status, cancelled, _ = await careful.ask("DELETE", path, params={"reason": "WEATHER"})
    assert (status, cancelled["_rev"]) == (200, 6)
    catalog.misbehaves.clear()


async def test_changed_terms_must_meet_the_requirements_too(careful: Service, catalog: Catalog) -> None:
    made = await book(careful, trip_id=catalog.trip(min_participants=2, base_price=10), party_size=2, total_amount=20)
    for changes, requirement in (
        ({"party_size": 1}, "PARTY_MINIMUM"),
        ({"party_size": 13}, "PARTY_MAXIMUM"),
        ({"trip_date": in_days(0)}, "TRIP_DATE_IN_FUTURE"),
        ({"trip_date": in_days(740)}, "BOOKING_WINDOW"),
    ):
        path, body = f"/reservations/{made['id']}", {"_rev": 1, **changes}
        status, refusal, _ = await careful.ask("PATCH", path, json=body)
        assert status == 422
        assert [each["requirement"] for each in refusal["failed_requirements"]] == [requirement]
    assert (await careful.ask("GET", path))[1] == made


async def test_who_is_too_young_or_unknown_can_not_join(careful: Service, catalog: Catalog) -> None:
    trip = catalog.trip(age_minimum=12)
    made = await book(careful, trip_id=trip, party_size=3, total_amount=round(3 * PRICE, 2))
    path = f"/reservations/{made['id']}/participants"
    for guest, requirement in (
        (catalog.guest(date_of_birth=YOUNG), "AGE_MINIMUM"),
        (catalog.guest(date_of_birth=None), "AGE_MINIMUM"),
        (catalog.guest(status="SUSPENDED"), "GUEST_ACTIVE"),
        (catalog.nobody(), "GUEST_EXISTS"),
    ):
        status, refusal, _ = await careful.ask("POST", path, json={"guest_id": guest, "role": "MINOR"})
        assert (status, refusal["error"]) == (422, "GUEST_NOT_ELIGIBLE")
        assert [each["requirement"] for each in refusal["failed_requirements"]] == [requirement]
    assert (await careful.ask("GET", path.removesuffix("/participants")))[1] == made
    assert (await careful.ask("POST", path, json={"guest_id": catalog.guest(date_of_birth=OLD)}))[0] == 201


async def worker_says(service: Service) -> str:
    """Return what the readiness of a service's worker says of eligibility."""
    worker = [process for process in service.processes if process.name == "worker"][-1]
    status, body, _ = await service.ask("GET", f"{worker.url()}/health/ready")
    assert status == 200
    return str(body["eligibility"])


async def test_the_worker_s_readiness_says_whose_rules_hold(service: Service, careful: Service) -> None:
    assert await worker_says(service) == "local rules only: no neighbour is configured"
    assert await worker_says(careful) == "asks guest profiles and trip catalog"


async def test_without_neighbours_their_rules_do_not_hold(service: Service) -> None:
    made = await book(service, trip_date="2026-01-31", party_size=40)
    assert (made["status"], made["total_amount"]) == ("CONFIRMED", 398.0)
    status, refusal, _ = await service.ask("POST", "/reservations", json=priced())
    assert (status, refusal["fields"][0]["field"]) == (400, "total_amount")
