"""Payments: what svc-payments tells confirms and cancels reservations, once, whenever it arrives."""

import asyncio
import json
import random
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from reservations.models.topics import COMMANDS, DEAD_LETTERS, PAYMENT_PROCESSED, RESULTS, STATUS_CHANGED
from tests.bookings import (
    a_held_creation,
    a_payment,
    book,
    decoded,
    new_reservation_id,
    pay,
    perform,
    send_commands,
    told,
)
from tests.conditions import eventually
from tests.databases import Connection
from tests.own_service import connected, start_workers, until_waiting, waiting
from tests.service import Service

Json = dict[str, Any]

SEED = 20270612
CROWD = 1000
LIMIT_S = 60
CONFIRMATIONS = """
SELECT count(*) FROM reservations.status_history
WHERE old_status = 'pending' AND new_status = 'confirmed' AND reason = 'PAYMENT_COMPLETED'
GROUP BY reservation_id"""


async def read(service: Service, reservation_id: str) -> Json:
    """Return a reservation as REST shows it, with its history."""
    path = f"/reservations/{reservation_id}?include=status_history"
    status, shown, _ = await service.ask("GET", path)
    assert status == 200, shown
    reservation: Json = shown
    return reservation


async def paid_amount(service: Service, reservation_id: str) -> float:
    """Return what is kept as paid."""
    query = "SELECT (details ->> 'paid_amount')::float FROM reservations.reservations WHERE reservation_id = $1"
    async with connected(service) as connection:
        return float(await connection.fetchval(query, reservation_id))


async def letters(service: Service, key: str) -> list[ConsumerRecord]:
    """Return the dead letters under a key."""
    return [record for record in await service.read(DEAD_LETTERS.name) if record.key == key.encode()]


async def moves(service: Service, reservation_id: str) -> list[Json]:
    """Return the events that tell of a reservation's changes of status, repetitions included."""
    return decoded([each for each in await service.read(STATUS_CHANGED.name) if each.key == reservation_id.encode()])


def last_move(reservation: Json) -> tuple[str | None, str, str | None, str]:
    """Return the last row of the history: from where to where, why and by whom."""
    row = reservation["status_history"][-1]
    return row["old_status"], row["new_status"], row["reason"], row["changed_by"]


def code(result: Json) -> str | None:
    """Return why a message was refused, None when it was applied."""
    assert (result["outcome"] == "applied") is (result["error"] is None), result
    return result["error"] and str(result["error"]["code"])


@pytest.mark.parametrize("amounts", [[100.0], [398.0], [60.0, 39.99, 0.01], [25.0] * 4])
async def test_the_deposit_confirms_a_pending_reservation_in_one_payment_or_several(
    service: Service, amounts: list[float]
) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    payments = [a_payment(made["id"], amount) for amount in amounts]
    for payment in payments:
        assert (await read(service, made["id"]))["status"] == "PENDING"
        (result,) = await pay(service, payment)
        assert code(result) is None
    confirmed = await read(service, made["id"])
    assert (confirmed["status"], confirmed["_rev"]) == ("CONFIRMED", 1 + len(amounts))
    assert confirmed["payment_reference"] == payments[-1]["payment_id"]
    assert last_move(confirmed) == ("PENDING", "CONFIRMED", "PAYMENT_COMPLETED", "svc-payments")
    (event,) = await moves(service, made["id"])
    assert event["event_id"] == confirmed["status_history"][-1]["history_id"]
    assert (event["previous_status"], event["new_status"], event["changed_by"], event["reason"]) == (
        "PENDING", "CONFIRMED", "svc-payments", "PAYMENT_COMPLETED",
    )  # fmt: skip


async def test_less_than_the_deposit_is_kept_and_confirms_nothing(service: Service) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    await pay(service, a_payment(made["id"], 99.99))
    kept = await read(service, made["id"])
    assert (kept["status"], kept["_rev"], len(kept["status_history"])) == ("PENDING", 2, 1)
    assert await paid_amount(service, made["id"]) == 99.99


async def test_the_same_event_twice_counts_once_and_is_told_again_under_the_same_id(service: Service) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    half, rest = a_payment(made["id"], 60.0), a_payment(made["id"], 40.0)
    await pay(service, half, half)
    assert (await read(service, made["id"]))["status"] == "PENDING"
    await pay(service, rest)
    once = await read(service, made["id"])
    again = await pay(service, half, rest)
    assert [each["replayed"] for each in again] == [True, True]
    assert await read(service, made["id"]) == once
    assert (once["_rev"], await paid_amount(service, made["id"])) == (3, 100.0)
    first, second = await moves(service, made["id"])
    assert first == second


async def test_the_same_event_id_with_another_amount_is_refused(service: Service) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    payment = a_payment(made["id"], 60.0)
    await pay(service, payment)
    (result,) = await pay(service, payment | {"amount": 400.0})
    assert code(result) == "IDEMPOTENCY_KEY_REUSED"
    assert (await read(service, made["id"]))["status"] == "PENDING"


async def test_a_refund_of_everything_cancels(service: Service) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    payment = a_payment(made["id"], 400.0)
    await pay(service, payment)
    await pay(service, payment | a_payment(made["id"], 400.0, status="REFUNDED"))
    cancelled = await read(service, made["id"])
    assert last_move(cancelled) == ("CONFIRMED", "CANCELLED", "PAYMENT_REFUNDED", "svc-payments")
    assert cancelled["payment_reference"] == payment["payment_id"]
    assert [event["new_status"] for event in await moves(service, made["id"])] == ["CONFIRMED", "CANCELLED"]
    await book(service, guest_id=made["guest_id"])


async def test_who_has_checked_in_stays_so_whatever_is_refunded(service: Service) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    await pay(service, a_payment(made["id"], 400.0))
    await service.ask("PUT", f"/reservations/{made['id']}/status", json={"target_status": "CHECKED_IN", "_rev": 2})
    (result,) = await pay(service, a_payment(made["id"], 400.0, status="REFUNDED"))
    kept = await read(service, made["id"])
    assert (code(result), kept["status"], kept["_rev"]) == (None, "CHECKED_IN", 4)
    assert await paid_amount(service, made["id"]) == 0
    assert await letters(service, made["id"]) == []


@pytest.mark.parametrize("refund", [{"status": "PARTIALLY_REFUNDED"}, {"status": "REFUNDED"}])
async def test_a_refund_of_a_part_is_kept_and_changes_no_status(service: Service, refund: Json) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    payment = a_payment(made["id"], 400.0)
    await pay(service, payment, a_payment(made["id"], 150.5, **refund))
    kept = await read(service, made["id"])
    assert (kept["status"], kept["_rev"], kept["payment_reference"]) == ("CONFIRMED", 3, payment["payment_id"])
    assert await paid_amount(service, made["id"]) == 249.5


@pytest.mark.parametrize(
    ("wrong", "refused_as"),
    [
        ({"currency": "CAD"}, "PAYMENT_CURRENCY_MISMATCH"),
        ({"amount": 0}, "PAYMENT_AMOUNT_INVALID"),
        ({"amount": -100.0}, "PAYMENT_AMOUNT_INVALID"),
        ({"amount": 0, "status": "REFUNDED"}, "PAYMENT_AMOUNT_INVALID"),
    ],
)
async def test_a_payment_that_is_wrong_changes_nothing_and_is_put_before_a_person(
    service: Service, wrong: Json, refused_as: str
) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    before = await read(service, made["id"])
    payment = a_payment(made["id"], 400.0) | wrong
    (result,) = await pay(service, payment)
    assert code(result) == refused_as
    assert await read(service, made["id"]) == before
    assert await paid_amount(service, made["id"]) == 0
    (letter,) = await letters(service, made["id"])
    assert (json.loads(letter.value), dict(letter.headers)["dead-letter-code"]) == (payment, refused_as.encode())


@pytest.mark.parametrize(("status", "letters_wanted"), [("COMPLETED", 1), ("REFUNDED", 0), ("PARTIALLY_REFUNDED", 0)])
async def test_after_the_end_a_payment_is_put_before_a_person_and_a_refund_is_not(
    service: Service, status: str, letters_wanted: int
) -> None:
    made = await book(service, total_amount=400.0)
    await service.ask("DELETE", f"/reservations/{made['id']}", params={"reason": "WEATHER"})
    before = await read(service, made["id"])
    (result,) = await pay(service, a_payment(made["id"], 400.0, status=status))
    assert code(result) == "PAYMENT_AFTER_THE_END"
    assert await read(service, made["id"]) == before
    assert len(await letters(service, made["id"])) == letters_wanted


async def test_further_fields_of_a_payment_are_let_through(service: Service) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    (result,) = await pay(service, a_payment(made["id"], 400.0, loyalty={"tier": "GOLD"}, processor="acme", fee=None))
    assert code(result) is None
    assert (await read(service, made["id"]))["status"] == "CONFIRMED"


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": "400.00"},
        {"amount": 400.001},
        {"amount": True},
        {"currency": "XXX"},
        {"status": "PENDING"},
        {"payment_method": "CASH"},
        {"payment_id": ""},
        {"event_type": "payment.failed"},
        {"timestamp": "soon"},
        {"timestamp": "2027-05-01T12:00:00"},
        {"reservation_id": "7a0e7bbe-0fb1-4d3c-8f0c-3b4a8f1f6a10"},
    ],
    ids=lambda wrong: "-".join(map(str, next(iter(wrong.items())))),
)
async def test_an_event_that_does_not_fit_goes_to_the_dead_letters_and_its_result_says_so(
    service: Service, wrong: Json
) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    payment = a_payment(made["id"], 400.0) | wrong
    (result,) = await pay(service, payment)
    assert (result["outcome"], result["error"]["code"]) == ("dead_lettered", "VALIDATION_FAILED")
    assert [each["field"] for each in result["error"]["details"]["fields"]] == list(wrong)
    (letter,) = await letters(service, payment["reservation_id"])
    assert json.loads(letter.value) == payment
    assert (await read(service, made["id"]))["_rev"] == 1


@pytest.mark.parametrize("value", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"event_id": 7}', None])
async def test_what_is_no_event_at_all_goes_to_the_dead_letters_byte_for_byte(
    service: Service, value: bytes | None
) -> None:
    made = await book(service, awaiting_payment=True, total_amount=400.0)
    key = new_reservation_id()
    await service.send(value, key.encode(), PAYMENT_PROCESSED.name)
    found = await eventually(lambda: letters(service, key))
    assert [letter.value for letter in found] == [value or (None if value is None else b"")]
    assert dict(found[0].headers)["dead-letter-topic"].decode().endswith(PAYMENT_PROCESSED.name)
    await pay(service, a_payment(made["id"], 400.0))  # those behind it go on


async def test_payments_that_come_early_wait_and_are_applied_with_the_creation(service: Service) -> None:
    creation = a_held_creation()
    key = creation["reservation_id"]
    early = [a_payment(key, 100.0), a_payment(key, 50.0), a_payment(key, 20.0, status="PARTIALLY_REFUNDED")]
    await send_commands(service, *early, topic=PAYMENT_PROCESSED.name)
    await until_waiting(service, 3, key)
    (made,) = await perform(service, creation)
    assert made["outcome"] == "applied"
    confirmed = await read(service, key)
    assert (confirmed["status"], confirmed["_rev"]) == ("CONFIRMED", 4)
    assert confirmed["payment_reference"] == early[1]["payment_id"]
    assert last_move(confirmed)[1:] == ("CONFIRMED", "PAYMENT_COMPLETED", "svc-payments")
    assert [event["new_status"] for event in await moves(service, key)] == ["CONFIRMED"]
    assert await waiting(service, key) == 0
    results = [each for each in decoded(await service.read(RESULTS.name)) if each["reservation_id"] == key]
    assert [each["command_id"] for each in results] == [creation["command_id"], *(each["event_id"] for each in early)]
    async with connected(service) as connection:
        query = "SELECT count(DISTINCT xmin::text) FROM reservations.status_history WHERE reservation_id = $1"
        assert await connection.fetchval(query, key) == 1, "the payment was not applied in the creation's transaction"


async def test_an_early_payment_that_is_refused_in_the_end_is_put_before_a_person(service: Service) -> None:
    creation = a_held_creation(currency="CAD")
    key = creation["reservation_id"]
    payment = a_payment(key, 400.0)
    await send_commands(service, payment, topic=PAYMENT_PROCESSED.name)
    await until_waiting(service, 1, key)
    await perform(service, creation)
    (letter,) = await eventually(lambda: letters(service, key))
    event = json.loads(letter.value)
    assert (event["event_id"], event["amount"]) == (payment["event_id"], payment["amount"])
    assert dict(letter.headers)["dead-letter-code"] == b"PAYMENT_CURRENCY_MISMATCH"
    assert (await read(service, key))["status"] == "PENDING"


async def test_an_early_payment_goes_on_waiting_when_the_creation_is_refused(service: Service) -> None:
    taken, creation = await book(service), a_held_creation()
    key = creation["reservation_id"]
    await send_commands(service, a_payment(key, 400.0), topic=PAYMENT_PROCESSED.name)
    await until_waiting(service, 1, key)
    overlapping = {**creation["payload"], "guest_id": taken["guest_id"]}
    refused, _ = await perform(service, a_held_creation() | {"reservation_id": key, "payload": overlapping}, creation)
    assert code(refused) == "OVERLAPPING_RESERVATION"
    assert (await read(service, key))["status"] == "CONFIRMED"


async def test_a_thousand_payments_among_their_thousand_creations_all_count_once(own_service: Service) -> None:
    creations = [a_held_creation() for _ in range(CROWD)]
    payments = [a_payment(each["reservation_id"], 100.0) for each in creations]
    first, rest = payments[:100], payments[100:]
    await start_workers(own_service)
    await send_commands(own_service, *first, topic=PAYMENT_PROCESSED.name)
    await until_waiting(own_service, len(first), *(each["reservation_id"] for each in first))
    await send_shuffled(own_service, creations, rest)
    async with connected(own_service) as connection:
        await eventually(lambda: _all_confirmed(connection), limit_s=LIMIT_S)
        assert [row["count"] for row in await connection.fetch(CONFIRMATIONS)] == [1] * CROWD
        assert await connection.fetchval("SELECT count(*) FROM reservations.status_history") == 2 * CROWD
        assert await connection.fetchval("SELECT count(*) FROM reservations.inbox WHERE outcome IS NULL") == 0
    await eventually(lambda: _has_told(own_service, 2 * CROWD), limit_s=LIMIT_S)
    assert await own_service.read(DEAD_LETTERS.name) == []


async def send_shuffled(service: Service, creations: list[Json], payments: list[Json]) -> None:
    """Send to both topics at once, in an order of chance."""
    sent = [(COMMANDS.name, each) for each in creations] + [(PAYMENT_PROCESSED.name, each) for each in payments]
    random.Random(SEED).shuffle(sent)  # noqa: S311  # repeatable, not secret
    await asyncio.gather(*(send_commands(service, each, topic=topic) for topic, each in sent))


async def _all_confirmed(connection: Connection) -> bool:
    query = "SELECT count(*) = $1 FROM reservations.reservations WHERE status = 'confirmed' AND _rev = 2"
    return bool(await connection.fetchval(query, CROWD))


async def _has_told(service: Service, count: int) -> bool:
    return len(await told(service)) == count
