"""The API from end to end: REST in, command on Kafka, one transaction, events out, reply."""

import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from reservations.models.topics import CREATED, STATUS_CHANGED
from reservations.tables.database import READER
from tests.bookings import a_booking, book
from tests.conditions import eventually
from tests.service import Service

UNKNOWN = "01900000-0000-7000-8000-000000000000"
CONTRACT_FIELDS = {
    "id",
    "reservation_id",
    "guest_id",
    "trip_id",
    "confirmation_code",
    "status",
    "trip_date",
    "party_size",
    "total_amount",
    "currency",
    "booking_source",
    "participants",
    "gear_package_id",
    "special_requirements",
    "emergency_contact",
    "payment_reference",
    "created_at",
    "updated_at",
    "_rev",
}
PARTICIPANT_FIELDS = {
    "participant_id",
    "guest_id",
    "role",
    "waiver_signed",
    "medical_clearance",
    "gear_assignment_id",
    "checked_in",
    "check_in_time",
}


async def test_a_created_reservation_is_answered_with_every_field_and_read_back_the_same(service: Service) -> None:
    guest = str(uuid4())
    wanted = a_booking(
        participants=[{"guest_id": guest, "role": "PRIMARY", "medical_clearance": True}, {"guest_id": str(uuid4())}],
        party_size=3,
        total_amount=99999999.99,
        currency="CAD",
        booking_source="CALL_CENTER",
        gear_package_id="alpine-2",
        special_requirements="No nuts, bitte. 谢谢",
        emergency_contact={"name": "Sam", "phone": "+1 555 0100", "relationship": "sister"},
        promo_code="SPRING",
    )
    status, made, headers = await service.ask("POST", "/reservations", json=wanted)
    assert (status, headers["Location"], headers["ETag"]) == (201, f"/reservations/{made['id']}", '"1"')
    assert set(made) == CONTRACT_FIELDS
    assert [set(each) for each in made["participants"]] == [PARTICIPANT_FIELDS] * 2
    shown = {name: made[name] for name in wanted if name not in {"participants", "promo_code"}}
    assert shown == {name: wanted[name] for name in shown}
    assert (made["status"], made["_rev"], made["id"]) == ("CONFIRMED", 1, made["reservation_id"])
    assert [each["guest_id"] for each in made["participants"]] == [each["guest_id"] for each in wanted["participants"]]
    assert made["participants"][0]["role"] == "PRIMARY"
    status, read, _ = await service.ask("GET", headers["Location"])
    assert (status, read) == (200, made)


async def test_defaults_are_those_of_the_contract(service: Service) -> None:
    _, made, _ = await service.ask("POST", "/reservations", json=a_booking())
    assert (made["status"], made["party_size"], made["currency"], made["booking_source"], made["participants"]) == (
        "CONFIRMED", 1, "USD", "WEB_DIRECT", [],
    )  # fmt: skip
    _, pair, _ = await service.ask(
        "POST", "/reservations", json=a_booking(participants=[{"guest_id": str(uuid4())}] * 2, awaiting_payment=True)
    )
    assert (pair["status"], pair["party_size"]) == ("PENDING", 2)
    assert {each["role"] for each in pair["participants"]} == {"GUEST"}


async def test_a_reader_sees_each_write_as_soon_as_it_was_answered(service: Service) -> None:
    made = await book(service)
    path, rev = f"/reservations/{made['id']}", made["_rev"]
    for size in range(2, 12):
        status, changed, _ = await service.ask("PATCH", path, json={"party_size": size, "_rev": rev})
        _, read, _ = await service.ask("GET", path)
        assert (status, read) == (200, changed)
        assert read["party_size"] == size
        rev = read["_rev"]
    assert rev == 11


async def test_a_patch_changes_what_it_names_clears_with_null_and_keeps_the_rest(service: Service) -> None:
    made = await book(service, special_requirements="vegan", gear_package_id="basic")
    change = {"trip_date": "2027-09-01", "total_amount": 12.5, "special_requirements": None, "_rev": "1"}
    status, changed, headers = await service.ask("PATCH", f"/reservations/{made['id']}", json=change)
    assert (status, headers["ETag"]) == (200, '"2"')
    assert changed == made | {
        "trip_date": "2027-09-01", "total_amount": 12.5, "special_requirements": None, "_rev": 2,
        "updated_at": changed["updated_at"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "given", [{"json": {"party_size": 9, "_rev": 1}}, {"json": {"party_size": 9}, "headers": {"If-Match": '"1"'}}]
)
async def test_a_change_based_on_a_stale_revision_is_refused_and_changes_nothing(
    service: Service, given: dict[str, Any]
) -> None:
    made = await book(service)
    path = f"/reservations/{made['id']}"
    _, current, _ = await service.ask("PATCH", path, json={"party_size": 4, "_rev": 1})
    status, refusal, _ = await service.ask("PATCH", path, **given)
    assert (status, refusal["error"], refusal["current_rev"]) == (409, "REVISION_CONFLICT", 2)
    assert (await service.ask("GET", path))[1] == current


async def test_a_change_must_say_which_revision_it_is_based_on(service: Service) -> None:
    made = await book(service)
    for path, body in (
        (f"/reservations/{made['id']}", {"party_size": 2}),
        (f"/reservations/{made['id']}/status", {"target_status": "CANCELLED"}),
    ):
        status, refusal, _ = await service.ask("PATCH" if "party_size" in body else "PUT", path, json=body)
        assert (status, refusal["fields"][0]["field"]) == (400, "_rev")


async def test_only_the_modifiable_fields_can_be_patched(service: Service) -> None:
    made = await book(service)
    for name in ("guest_id", "trip_id", "status", "confirmation_code", "currency", "created_at", "nonsense", "id"):
        status, refusal, _ = await service.ask("PATCH", f"/reservations/{made['id']}", json={name: "x", "_rev": 1})
        assert (status, refusal["error"], refusal["fields"][0]["field"]) == (400, "FIELD_NOT_MODIFIABLE", name)
    assert (await service.ask("GET", f"/reservations/{made['id']}"))[1] == made


async def test_participants_join_until_the_party_is_full(service: Service) -> None:
    made = await book(service, party_size=2)
    path = f"/reservations/{made['id']}/participants"
    guests = [str(uuid4()), str(uuid4())]
    for guest in guests:
        status, newcomer, _ = await service.ask("POST", path, json={"guest_id": guest, "role": "COMPANION"})
        assert (status, newcomer["guest_id"], newcomer["role"]) == (201, guest, "COMPANION")
    status, refusal, _ = await service.ask("POST", path, json={"guest_id": str(uuid4())})
    assert (status, refusal["error"]) == (409, "PARTY_FULL")
    _, party, _ = await service.ask("GET", path)
    assert [each["guest_id"] for each in party] == guests
    assert (await service.ask("PATCH", path.removesuffix("/participants"), json={"party_size": 1, "_rev": 3}))[0] == 400


async def test_a_trip_goes_its_way_and_its_history_tells_it(service: Service) -> None:
    made = await book(service, awaiting_payment=True, participants=[{"guest_id": str(uuid4())}])
    path, rev = f"/reservations/{made['id']}", 1
    for target in ("CONFIRMED", "GEAR_ASSIGNED", "CHECKED_IN", "IN_PROGRESS", "COMPLETED"):
        body = {"target_status": target, "_rev": rev, "reason": f"now {target}"}
        status, moved, _ = await service.ask("PUT", f"{path}/status", json=body)
        assert (status, moved["status"], moved["_rev"]) == (200, target, rev + 1)
        rev = moved["_rev"]
    assert moved["participants"][0]["checked_in"]
    assert moved["participants"][0]["check_in_time"]
    _, told, _ = await service.ask("GET", path, params={"include": "status_history"})
    history = [
        (each["old_status"], each["new_status"], each["_rev"], each["reason"]) for each in told["status_history"]
    ]
    assert history == [
        (None, "PENDING", 1, None),
        ("PENDING", "CONFIRMED", 2, "now CONFIRMED"),
        ("CONFIRMED", "GEAR_ASSIGNED", 3, "now GEAR_ASSIGNED"),
        ("GEAR_ASSIGNED", "CHECKED_IN", 4, "now CHECKED_IN"),
        ("CHECKED_IN", "IN_PROGRESS", 5, "now IN_PROGRESS"),
        ("IN_PROGRESS", "COMPLETED", 6, "now COMPLETED"),
    ]
    for method, address, options in (
        ("PUT", f"{path}/status", {"json": {"target_status": "CANCELLED", "_rev": rev}}),
        ("DELETE", path, {"params": {"reason": "WEATHER"}}),
        ("PATCH", path, {"json": {"party_size": 2, "_rev": rev}}),
        ("POST", f"{path}/participants", {"json": {"guest_id": str(uuid4())}}),
    ):
        status, refusal, _ = await service.ask(method, address, **options)
        assert (status, refusal["current_status"], refusal["allowed_statuses"]) == (409, "COMPLETED", [])


async def test_a_refused_transition_says_the_status_and_what_is_allowed(service: Service) -> None:
    made = await book(service)
    body = {"target_status": "COMPLETED", "_rev": 1}
    status, refusal, _ = await service.ask("PUT", f"/reservations/{made['id']}/status", json=body)
    assert (status, refusal["error"], refusal["current_status"]) == (409, "TRANSITION_NOT_ALLOWED", "CONFIRMED")
    assert refusal["allowed_statuses"] == ["CANCELLED", "CHECKED_IN", "GEAR_ASSIGNED", "NO_SHOW"]


async def test_a_cancelled_reservation_stays_readable_and_says_why(service: Service) -> None:
    made = await book(service)
    path = f"/reservations/{made['id']}"
    status, cancelled, _ = await service.ask("DELETE", path, params={"reason": "WEATHER"})
    assert (status, cancelled["status"]) == (200, "CANCELLED")
    _, read, _ = await service.ask("GET", path, params={"include": "status_history"})
    assert read.pop("status_history")[-1]["reason"] == "WEATHER"
    assert read == cancelled
    assert (await service.ask("DELETE", path, params={"reason": "WEATHER"}))[1]["error"] == "NOT_CANCELLABLE"


async def test_what_does_not_exist_is_not_found(service: Service) -> None:
    for unknown in (UNKNOWN, str(uuid4())):
        path = f"/reservations/{unknown}"
        for method, address, options in (
            ("GET", path, {}),
            ("GET", f"{path}/participants", {}),
            ("PATCH", path, {"json": {"party_size": 2, "_rev": 1}}),
            ("DELETE", path, {"params": {"reason": "WEATHER"}}),
            ("POST", f"{path}/participants", {"json": {"guest_id": str(uuid4())}}),
            ("PUT", f"{path}/status", {"json": {"target_status": "CANCELLED", "_rev": 1}}),
        ):
            status, refusal, _ = await service.ask(method, address, **options)
            assert (method, status, refusal["error"]) == (method, 404, "RESERVATION_NOT_FOUND")


async def test_a_repeated_request_takes_effect_once_and_is_answered_alike(service: Service) -> None:
    key, wanted = {"Idempotency-Key": str(uuid4())}, a_booking()
    first = await service.ask("POST", "/reservations", json=wanted, headers=key)
    again = await service.ask("POST", "/reservations", json=wanted, headers=key)
    assert (first[0], first[1]) == (again[0], again[1])
    assert "Idempotency-Replayed" not in first[2]
    assert again[2]["Idempotency-Replayed"] == "true"
    status, refusal, _ = await service.ask("POST", "/reservations", json=wanted | {"party_size": 7}, headers=key)
    assert (status, refusal["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    _, found, _ = await service.ask("GET", "/reservations", params={"guest_id": wanted["guest_id"]})
    assert found["total_elements"] == 1


async def test_a_repeated_refusal_is_answered_alike_even_when_it_would_succeed_now(service: Service) -> None:
    made, key = await book(service), {"Idempotency-Key": str(uuid4())}
    path = f"/reservations/{made['id']}/status"
    body = {"target_status": "IN_PROGRESS", "_rev": 1}
    first = await service.ask("PUT", path, json=body, headers=key)
    await service.ask("PUT", path, json={"target_status": "CHECKED_IN", "_rev": 1})
    again = await service.ask("PUT", path, json=body, headers=key)
    assert [first[0], again[0]] == [409, 409]
    assert first[1]["message"] == again[1]["message"]


async def test_an_unchanged_reservation_need_not_be_sent_again(service: Service) -> None:
    made = await book(service)
    path = f"/reservations/{made['id']}"
    for tags in ('"1"', 'W/"1"', '"0", "1"', "*"):
        assert (await service.ask("GET", path, headers={"If-None-Match": tags}))[:2] == (304, "")
    assert (await service.ask("GET", path, headers={"If-None-Match": '"2"'}))[0] == 200


async def test_an_asynchronous_write_is_accepted_and_its_command_tells_the_outcome(service: Service) -> None:
    status, accepted, headers = await service.ask(
        "POST", "/reservations", json=a_booking(), headers={"Prefer": "respond-async"}
    )
    assert (status, accepted["status"], headers["Preference-Applied"]) == (202, "PENDING", "respond-async")
    assert int(headers["Retry-After"]) > 0

    async def outcome() -> Any:
        _, command, _ = await service.ask("GET", headers["Location"])
        return command if command["status"] != "PENDING" else None

    command = await eventually(outcome)
    assert command["status"] == "APPLIED"
    made = command["result"]["reservation"]
    assert (await service.ask("GET", f"/reservations/{made['id']}"))[1] == made


async def test_events_tell_of_each_change_of_status_once_in_order_with_the_id_of_the_history_row(
    service: Service,
) -> None:
    made = await book(service, party_size=3)
    trace = "0af7651916cd43dd8448eb211c80319c"
    await service.ask(
        "PUT",
        f"/reservations/{made['id']}/status",
        json={"target_status": "CHECKED_IN", "_rev": 1},
        headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    )
    await service.ask("DELETE", f"/reservations/{made['id']}", params={"reason": "SAFETY_CONCERN"})
    _, told, _ = await service.ask("GET", f"/reservations/{made['id']}", params={"include": "status_history"})
    history = [each["history_id"] for each in told["status_history"]]
    created = [r for r in await service.read(CREATED.name) if r.key == made["id"].encode()]
    changed = [r for r in await service.read(STATUS_CHANGED.name) if r.key == made["id"].encode()]
    (event,) = [json.loads(r.value) for r in created]
    assert event == {
        "event_id": history[0],
        "event_type": "reservation.created",
        "timestamp": event["timestamp"],
        "reservation_id": made["id"],
        "guest_id": made["guest_id"],
        "trip_id": made["trip_id"],
        "trip_date": made["trip_date"],
        "participant_count": 3,
        "status": "CONFIRMED",
        "confirmation_code": made["confirmation_code"],
    }
    moves = [json.loads(r.value) for r in changed]
    assert [(m["event_id"], m["previous_status"], m["new_status"], m["_rev"], m["reason"]) for m in moves] == [
        (history[1], "CONFIRMED", "CHECKED_IN", 2, None),
        (history[2], "CHECKED_IN", "CANCELLED", 3, "SAFETY_CONCERN"),
    ]
    assert {(m["event_type"], m["guest_id"], m["changed_by"]) for m in moves} == {
        ("reservation.status_changed", made["guest_id"], "anonymous")
    }
    headers = dict(changed[0].headers)
    assert (headers["ce_id"].decode(), headers["ce_specversion"]) == (history[1], b"1.0")
    assert trace in headers["traceparent"].decode()


async def test_the_readers_role_can_not_write(service: Service) -> None:
    connection = await asyncpg.connect(service.database_url, server_settings=dict(READER))
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("DELETE FROM reservations.reservations")
    await connection.execute("SET default_transaction_read_only = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM reservations.reservations")
    await connection.close()


async def test_ids_are_of_version_7_and_codes_of_twelve_characters(service: Service) -> None:
    made = await book(service)
    assert UUID(made["id"]).version == 7
    assert len(made["confirmation_code"]) == 12
