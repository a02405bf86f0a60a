"""Commands straight over Kafka: the same effects and refusals as over REST, told on the results topic."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka import ConsumerRecord

from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.topics import BULK_COMMANDS, COMMANDS, CREATED, RESULTS, STATUS_CHANGED
from tests.bookings import a_booking, a_command, book, decoded, perform
from tests.service import Service

Json = dict[str, Any]


def a_creation(**changes: Any) -> Json:
    """Return a command that makes a booking."""
    return a_command("reservation.create", a_booking(), **changes)


def a_change(kind: str, reservation: Json, payload: Json, **changes: Any) -> Json:
    """Return a command that changes a booking."""
    return a_command(kind, payload, reservation_id=reservation["id"], **changes)


def new_id(at: datetime | None = None) -> str:
    """Return an id for a reservation made at that instant, or now."""
    return str(uuid7(unix_ms(at or datetime.now(UTC))))


async def read(service: Service, reservation_id: str, **query: str) -> Json:
    """Return a reservation as REST shows it."""
    status, shown, _ = await service.ask("GET", f"/reservations/{reservation_id}", params=query)
    assert status == 200, shown
    reservation: Json = shown
    return reservation


def refusal(result: Json) -> tuple[str, str, bool, bool]:
    """Return what a rejected result says, and that it shows no reservation."""
    assert result["reservation"] is None, result
    return result["outcome"], result["error"]["code"], result["replayed"], UUID(result["fingerprint"]).int > 0


async def events(service: Service, reservation_id: str) -> list[Json]:
    """Return every event of a reservation, the creation's first, repetitions included."""
    told = [*await service.read(CREATED.name), *await service.read(STATUS_CHANGED.name)]
    return decoded([record for record in told if record.key == reservation_id.encode()])


@pytest.mark.parametrize("lane", [COMMANDS.name, BULK_COMMANDS.name])
async def test_each_type_of_command_takes_effect_and_its_result_shows_the_reservation(
    service: Service, lane: str
) -> None:
    creation, guest = a_creation(), str(uuid4())
    (created,) = await perform(service, creation, topic=lane)
    made = created["reservation"]
    steps = [
        a_change("reservation.update", made, {"party_size": 2, "special_requirements": "vegan"}, expected_rev=1),
        a_change("participant.add", made, {"guest_id": guest, "role": "MINOR"}),
        a_change("reservation.transition", made, {"target_status": "GEAR_ASSIGNED", "reason": "packed"}),
        a_change("reservation.cancel", made, {"reason": "WEATHER"}, expected_rev="4"),
    ]
    results = [created, *await perform(service, *steps, topic=lane)]
    assert [
        (r["command_id"], r["type"], r["outcome"], r["replayed"], r["error"], r["reservation_id"]) for r in results
    ] == [(c["command_id"], c["type"], "applied", False, None, made["id"]) for c in (creation, *steps)]
    assert [result["reservation"]["_rev"] for result in results] == [1, 2, 3, 4, 5]
    assert len({UUID(result["fingerprint"]) for result in results}) == 5
    (newcomer,) = results[2]["reservation"]["participants"]
    assert (results[2]["participant_id"], newcomer["guest_id"], newcomer["role"]) == (
        newcomer["participant_id"], guest, "MINOR",
    )  # fmt: skip
    shown = await read(service, made["id"], include="status_history")
    history = shown.pop("status_history")
    assert shown == results[-1]["reservation"]
    assert [(h["old_status"], h["new_status"], h["reason"], h["changed_by"], h["_rev"]) for h in history] == [
        (None, "CONFIRMED", None, "back-office", 1),
        ("CONFIRMED", "GEAR_ASSIGNED", "packed", "back-office", 4),
        ("GEAR_ASSIGNED", "CANCELLED", "WEATHER", "back-office", 5),
    ]
    assert [event["event_id"] for event in await events(service, made["id"])] == [h["history_id"] for h in history]


async def test_refusals_carry_the_codes_that_rest_answers_and_change_nothing(service: Service) -> None:
    made = await book(service)
    path = f"/reservations/{made['id']}"
    unknown = {"id": new_id()}
    stale, move, alien, lost = await perform(
        service,
        a_change("reservation.update", made, {"party_size": 3}, expected_rev=7),
        a_change("reservation.transition", made, {"target_status": "COMPLETED"}),
        a_change("reservation.update", made, {"guest_id": str(uuid4()), "party_size": 3}),
        a_change("reservation.cancel", unknown, {"reason": "DUPLICATE"}),
    )
    over_rest = [
        await service.ask("PATCH", path, json={"party_size": 3, "_rev": 7}),
        await service.ask("PUT", f"{path}/status", json={"target_status": "COMPLETED", "_rev": 1}),
        await service.ask("PATCH", path, json={"guest_id": str(uuid4()), "party_size": 3, "_rev": 1}),
        await service.ask("DELETE", f"/reservations/{unknown['id']}", params={"reason": "DUPLICATE"}),
    ]
    codes = ["REVISION_CONFLICT", "TRANSITION_NOT_ALLOWED", "FIELD_NOT_MODIFIABLE", "RESERVATION_NOT_FOUND"]
    assert [refusal(each) for each in (stale, move, alien, lost)] == [("rejected", c, False, True) for c in codes]
    assert [answer["error"] for _, answer, _ in over_rest] == codes
    assert stale["error"]["details"] == {"expected_rev": 7, "current_rev": 1}
    assert move["error"]["details"]["allowed_statuses"] == over_rest[1][1]["allowed_statuses"]
    assert alien["error"]["details"]["fields"] == over_rest[2][1]["fields"]
    assert await read(service, made["id"]) == made


@pytest.mark.parametrize("lanes", [(COMMANDS.name, COMMANDS.name), (COMMANDS.name, BULK_COMMANDS.name)])
async def test_a_repeated_command_has_one_effect_and_tells_of_it_again(
    service: Service, lanes: tuple[str, str]
) -> None:
    creation = a_creation()
    first, again = [(await perform(service, creation, topic=lane))[0] for lane in lanes]
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert {**again, "replayed": False} == first
    made = first["reservation"]
    _, found, _ = await service.ask("GET", "/reservations", params={"guest_id": made["guest_id"]})
    assert found["content"] == [made]
    told, told_again = await events(service, made["id"])
    assert told == told_again
    move = a_change("reservation.transition", made, {"target_status": "CHECKED_IN"})
    moved, repeated = await perform(service, move, move, topic=lanes[1])
    assert (moved["replayed"], repeated["replayed"], repeated["reservation"]["_rev"]) == (False, True, 2)
    assert len({event["event_id"] for event in await events(service, made["id"])}) == 2


async def test_a_refused_command_is_refused_alike_when_it_is_repeated(service: Service) -> None:
    made = await book(service)
    early = a_change("reservation.transition", made, {"target_status": "IN_PROGRESS"})
    (first,) = await perform(service, early)
    await perform(service, a_change("reservation.transition", made, {"target_status": "CHECKED_IN"}))
    (again,) = await perform(service, early)
    assert again == {**first, "replayed": True}


async def test_a_command_id_used_for_another_request_is_refused(service: Service) -> None:
    creation = a_creation()
    other = {**creation, "payload": {**creation["payload"], "party_size": 9}}
    (first,), (second,) = await perform(service, creation), await perform(service, other)
    assert refusal(second) == ("rejected", "IDEMPOTENCY_KEY_REUSED", False, True)
    assert second["fingerprint"] != first["fingerprint"]
    _, found, _ = await service.ask("GET", "/reservations", params={"guest_id": creation["payload"]["guest_id"]})
    assert [each["party_size"] for each in found["content"]] == [1]
    (again,) = await perform(service, creation)
    assert again == {**first, "replayed": True}


async def test_an_id_chosen_by_the_producer_is_kept_and_says_when_the_reservation_was_made(service: Service) -> None:
    made_at = datetime.now(UTC).replace(microsecond=123_000)
    chosen = new_id(made_at)
    (created,) = await perform(service, a_creation(reservation_id=chosen))
    assert created["reservation"]["id"] == created["reservation_id"] == chosen
    assert datetime.fromisoformat(created["reservation"]["created_at"]) == made_at
    assert await read(service, chosen) == created["reservation"]


async def test_an_id_that_is_taken_is_refused_whichever_lane_asks(service: Service) -> None:
    made = await book(service)
    for lane in (COMMANDS.name, BULK_COMMANDS.name):
        (result,) = await perform(service, a_creation(reservation_id=made["id"]), topic=lane)
        assert refusal(result) == ("rejected", "RESERVATION_EXISTS", False, True)
    assert await read(service, made["id"]) == made


@pytest.mark.parametrize(
    "reservation_id",
    [
        new_id(datetime(1999, 12, 31, tzinfo=UTC)),
        new_id(datetime(2020, 5, 1, tzinfo=UTC)),
        new_id(datetime(2090, 5, 1, tzinfo=UTC)),
        "00000000-0000-7000-8000-000000000000",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ],
    ids=["1999", "2020", "2090", "1970", "10889"],
)
async def test_an_id_of_a_month_that_is_not_kept_is_refused(service: Service, reservation_id: str) -> None:
    (result,) = await perform(service, a_creation(reservation_id=reservation_id))
    assert refusal(result) == ("rejected", "VALIDATION_FAILED", False, True)
    assert [each["field"] for each in result["error"]["details"]["fields"]] == ["reservation_id"]


async def test_fifty_commands_for_one_reservation_are_applied_in_the_order_they_were_sent(service: Service) -> None:
    made = await book(service)
    targets = ["GEAR_ASSIGNED", "CONFIRMED"]
    commands = [
        a_change("reservation.transition", made, {"target_status": targets[n // 2 % 2], "reason": f"step {n}"})
        if n % 2
        else a_change("reservation.update", made, {"party_size": n + 2}, expected_rev=n + 1)
        for n in range(50)
    ]
    results = await perform(service, *commands)
    assert [(r["outcome"], r["reservation"]["_rev"]) for r in results] == [("applied", n + 2) for n in range(50)]
    assert [r["reservation"]["party_size"] for r in results] == [n - n % 2 + 2 for n in range(50)]
    history = (await read(service, made["id"], include="status_history"))["status_history"]
    assert [(h["_rev"], h["reason"]) for h in history[1:]] == [(n + 2, f"step {n}") for n in range(1, 50, 2)]
    assert [h["old_status"] for h in history[1:]] == [h["new_status"] for h in history[:-1]]
    told = await events(service, made["id"])
    assert [event["event_id"] for event in told] == [h["history_id"] for h in history]
    assert [event["_rev"] for event in told[1:]] == [h["_rev"] for h in history[1:]]


async def test_a_thousand_bookings_sent_at_once_are_all_there_each_once(service: Service) -> None:
    trip = str(uuid4())
    commands = [a_command("reservation.create", a_booking(trip_id=trip)) for _ in range(1000)]
    half = len(commands) // 2
    results = [
        *await perform(service, *commands[:half], topic=BULK_COMMANDS.name),
        *await perform(service, *commands[half:]),
    ]
    assert {result["outcome"] for result in results} == {"applied"}
    found = await all_pages(service, trip_id=trip)
    assert [each["id"] for each in found] == sorted((r["reservation_id"] for r in results), reverse=True)
    assert {each["id"]: each for each in found} == {r["reservation_id"]: r["reservation"] for r in results}
    assert {each["guest_id"] for each in found} == {command["payload"]["guest_id"] for command in commands}
    assert len({each["confirmation_code"] for each in found}) == 1000


async def all_pages(service: Service, **filters: str) -> list[Json]:
    """Return every reservation that is found, page after page by cursor."""
    found: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {**filters, "size": "100", "cursor": cursor}
        status, page, _ = await service.ask("GET", "/reservations", params=query)
        assert status == 200, page
        found += page["content"]
        cursor = page["next_cursor"]
    return found


async def test_the_same_commands_sent_at_once_in_both_lanes_take_effect_once(service: Service) -> None:
    trip = str(uuid4())
    commands = [a_command("reservation.create", a_booking(trip_id=trip)) for _ in range(100)]
    async with service.listening(RESULTS.name) as listener:
        for command in commands:
            for lane in (COMMANDS.name, BULK_COMMANDS.name):
                value = json.dumps(command).encode()
                await service.producer.send(service.topic_prefix + lane, value, command["command_id"].encode())
        await service.producer.flush()
        ids = {command["command_id"] for command in commands}
        await listener.until(lambda heard: len(of_commands(heard, ids)) == 2 * len(commands))
    results = of_commands(listener.heard, ids)
    for command in commands:
        of_it = [r for r in results if r["command_id"] == command["command_id"]]
        assert sorted(r["replayed"] for r in of_it) == [False, True]
        assert len({r["reservation_id"] for r in of_it}) == 1
    assert len(await all_pages(service, trip_id=trip)) == len(commands)


def of_commands(heard: list[ConsumerRecord], command_ids: set[str]) -> list[Json]:
    """Return the results of certain commands."""
    return [result for result in decoded(heard) if result["command_id"] in command_ids]


async def test_the_inbox_holds_each_command_once(service: Service) -> None:
    creation = a_creation()
    results = await perform(service, creation, creation, creation)
    assert [r["replayed"] for r in results] == [False, True, True]
    connection = await asyncpg.connect(service.database_url)
    try:
        kept = await connection.fetch(
            "SELECT kind, fingerprint, outcome FROM reservations.inbox WHERE message_id = $1",
            UUID(creation["command_id"]),
        )
    finally:
        await connection.close()
    ((kind, fingerprint, outcome),) = kept
    assert (kind, str(fingerprint)) == ("reservation.create", results[0]["fingerprint"])
    assert json.loads(outcome) == results[0]
