"""What becomes due: unpaid holds, guests who did not come, payments that nobody claims."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.topics import DEAD_LETTERS, PAYMENT_PROCESSED, STATUS_CHANGED
from reservations.tables import trip_slots
from tests.bookings import (
    a_booking,
    a_command,
    a_payment,
    book,
    decoded,
    new_reservation_id,
    pay,
    perform,
    send_commands,
)
from tests.conditions import eventually
from tests.own_service import QUICK, a_running_service, connected, until_waiting
from tests.servers import Servers
from tests.service import Service, run

Json = dict[str, Any]

PAST = "2026-01-31"
#: Settings take hours and days; a clock that ticks often makes them seconds.
HOLD_S, WAIT_S = 1.8, 1.0
TICKING = {"CLOCK_INTERVAL_S": "0.3"}
HISTORY = """
SELECT old_status, new_status, reason, changed_by FROM reservations.status_history
WHERE reservation_id = $1 ORDER BY (details ->> '_rev')::int"""
CREATION = (None, "pending", None, "anonymous")
TIMEOUT = ("pending", "cancelled", "PAYMENT_TIMEOUT", "svc-reservations")
REDRIVEN_BEFORE = ("redriven-at", b"2026-01-31T12:00:00+00:00")
SHIFT_RESERVATIONS = "UPDATE reservations.reservations SET trip_date = $2::text::date WHERE reservation_id = ANY ($1)"
SHIFT_DAYS = "UPDATE reservations.guest_days SET trip_date = $2::text::date WHERE reservation_id = ANY ($1)"
SHIFT_SEATS = "UPDATE reservations.trip_slots SET trip_date = $2::text::date WHERE trip_id = ANY ($1)"


@pytest.fixture(scope="module")
async def impatient(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Give a service of two workers where a hold ends soon; the rest is as it is by default."""
    settings = {**QUICK, **TICKING, "HOLD_HOURS": str(HOLD_S / 3600)}
    folder = tmp_path_factory.mktemp("impatient")
    async with a_running_service(servers, template, folder, settings) as service:
        yield service


@pytest.fixture(scope="module")
async def strict(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Give a service of two workers where guests must not be late, and payments wait for a moment only."""
    settings = {**QUICK, **TICKING, "NO_SHOW_HOURS": "1", "PARKED_PAYMENT_DAYS": str(WAIT_S / 86400)}
    folder = tmp_path_factory.mktemp("strict")
    async with a_running_service(servers, template, folder, settings) as service:
        yield service


async def history(service: Service, reservation_id: str) -> list[tuple[Any, ...]]:
    """Return a reservation's changes of status."""
    async with connected(service) as connection:
        return [tuple(row) for row in await connection.fetch(HISTORY, reservation_id)]


async def until(service: Service, reservation_id: str, status: str) -> Json:
    """Wait until a reservation has a status; return it."""

    async def look() -> Json | None:
        _, shown, _ = await service.ask("GET", f"/reservations/{reservation_id}")
        return shown if shown["status"] == status else None

    return await eventually(look) or {}


async def about(service: Service, topic: str, key: str) -> list[ConsumerRecord]:
    """Return the messages of a topic under a key."""
    return [record for record in await service.read(topic) if record.key == key.encode()]


async def test_a_hold_that_is_not_paid_ends_once_and_gives_back_what_it_held(impatient: Service) -> None:
    held = [await book(impatient, awaiting_payment=True) for _ in range(5)]
    for each in held:
        cancelled = await until(impatient, each["id"], "CANCELLED")
        assert cancelled["_rev"] == 2
    await another_hold_ends(impatient)  # the clock went on ticking in the meantime
    for each in held:
        assert await history(impatient, each["id"]) == [CREATION, TIMEOUT]
        events = decoded(await about(impatient, STATUS_CHANGED.name, each["id"]))
        assert len({event["event_id"] for event in events}) == 1
        assert (events[0]["previous_status"], events[0]["new_status"], events[0]["reason"]) == (
            "PENDING", "CANCELLED", "PAYMENT_TIMEOUT",
        )  # fmt: skip
        await book(impatient, guest_id=each["guest_id"])


async def another_hold_ends(service: Service) -> None:
    """Wait for one more hold to come and go: what was due before it has been seen to."""
    made = await book(service, awaiting_payment=True)
    await until(service, made["id"], "CANCELLED")


async def test_a_hold_that_is_paid_does_not_end(impatient: Service) -> None:
    key = new_reservation_id()
    await send_commands(impatient, a_payment(key, 398.0), topic=PAYMENT_PROCESSED.name)
    await until_waiting(impatient, 1, key)
    creation = a_command("reservation.create", a_booking(awaiting_payment=True), reservation_id=key)
    await perform(impatient, creation)
    await another_hold_ends(impatient)
    paid = ("pending", "confirmed", "PAYMENT_COMPLETED", "svc-payments")
    assert [row[:3] for row in await history(impatient, key)] == [CREATION[:3], paid[:3]]


def made_in(seconds: float) -> str:
    """Return the id of a reservation that counts as made so long from now: its hold ends so much later."""
    return str(uuid7(unix_ms(datetime.now(UTC) + timedelta(seconds=seconds))))


async def test_a_deposit_that_comes_as_the_hold_ends_either_saves_it_or_is_put_before_a_person(
    impatient: Service,
) -> None:
    # Their holds end one after the other, the last one's in an hour.
    keys = [made_in(0.02 * number) for number in range(60)] + [made_in(3600)]
    creations = [a_command("reservation.create", a_booking(awaiting_payment=True), reservation_id=key) for key in keys]
    await perform(impatient, *creations)
    await until(impatient, keys[0], "CANCELLED")
    results = await pay(impatient, *(a_payment(key, 398.0) for key in keys))
    letters = {str(record.key, "ascii") for record in await impatient.read(DEAD_LETTERS.name)}
    outcomes = Counter[str]()
    for key, result in zip(keys, results, strict=True):
        code = result["error"] and result["error"]["code"]
        ((_, status, reason, _),) = (await history(impatient, key))[1:]
        assert (status, reason, code, key in letters) in (
            ("confirmed", "PAYMENT_COMPLETED", None, False),
            ("cancelled", "PAYMENT_TIMEOUT", "PAYMENT_AFTER_THE_END", True),
        )
        outcomes[status] += 1
    assert set(outcomes) == {"confirmed", "cancelled"}


async def test_by_default_nobody_becomes_a_no_show(impatient: Service) -> None:
    late = await book(impatient, trip_date=PAST)
    await another_hold_ends(impatient)
    assert (await impatient.ask("GET", f"/reservations/{late['id']}"))[1] == late


async def let_the_days_pass(service: Service, reservations: Sequence[Json]) -> None:
    """Have the trips of these reservations be over."""
    ids, trips = [each["id"] for each in reservations], [each["trip_id"] for each in reservations]
    async with connected(service) as connection, connection.transaction():
        for statement, keys in ((SHIFT_RESERVATIONS, ids), (SHIFT_DAYS, ids), (SHIFT_SEATS, trips)):
            await connection.execute(statement, keys, PAST)


async def test_who_has_not_come_becomes_a_no_show_and_who_has_does_not(strict: Service) -> None:
    absent, packed, here, unpaid, coming = [
        await book(strict, awaiting_payment=number == 3, party_size=2) for number in range(5)
    ]
    for each, target in ((packed, "GEAR_ASSIGNED"), (here, "CHECKED_IN")):
        body = {"target_status": target, "_rev": 1}
        assert (await strict.ask("PUT", f"/reservations/{each['id']}/status", json=body))[0] == 200
    await let_the_days_pass(strict, [absent, packed, here, unpaid])
    assert (await until(strict, absent["id"], "NO_SHOW"))["_rev"] == 2
    assert (await until(strict, packed["id"], "NO_SHOW"))["_rev"] == 3
    await another_payment_is_given_up(strict)
    for each, old in ((absent, "confirmed"), (packed, "gear_assigned")):
        rows = await history(strict, each["id"])
        assert rows[-1] == (old, "no_show", "NO_SHOW_TIMEOUT", "svc-reservations")
        assert [row[1] for row in rows].count("no_show") == 1
        told = decoded(await about(strict, STATUS_CHANGED.name, each["id"]))
        assert len({event["event_id"] for event in told if event["new_status"] == "NO_SHOW"}) == 1
    shown = [(await strict.ask("GET", f"/reservations/{each['id']}"))[1]["status"] for each in (here, unpaid, coming)]
    assert shown == ["CHECKED_IN", "PENDING", "CONFIRMED"]
    async with connected(strict) as connection:
        assert await trip_slots.imbalances(connection) == []


async def given_up(service: Service, payment: Json) -> ConsumerRecord:
    """Send a payment that nobody claims; return the dead letter that it becomes."""
    await send_commands(service, payment, topic=PAYMENT_PROCESSED.name)
    (letter,) = await eventually(lambda: about(service, DEAD_LETTERS.name, payment["reservation_id"]))
    return letter


async def another_payment_is_given_up(service: Service) -> None:
    """Wait for one more payment to be given up: what was due before it has been seen to."""
    await given_up(service, a_payment(new_reservation_id(), 1.0))


async def unclaimed(service: Service) -> int:
    """Return how many payments the workers count as given up."""
    sample = 'reservations_dead_letters_total{code="PAYMENT_UNCLAIMED"} '
    workers = [process for process in service.processes if process.name == "worker" and process.popen.poll() is None]
    texts = [(await service.ask("GET", f"{worker.url()}/metrics"))[1] for worker in workers]
    return sum(int(float(text.partition(sample)[2].split("\n")[0])) for text in texts)


async def test_a_payment_that_nobody_claims_becomes_a_dead_letter_and_counts_once_when_redriven(
    strict: Service,
) -> None:
    key = new_reservation_id()
    payment = a_payment(key, 398.0)
    before = await unclaimed(strict)
    letter = await given_up(strict, payment)

    async def is_counted() -> bool:
        return await unclaimed(strict) == before + 1

    await eventually(is_counted)
    headers = dict(letter.headers)
    assert headers["dead-letter-code"] == b"PAYMENT_UNCLAIMED"
    assert headers["dead-letter-topic"].decode().endswith(PAYMENT_PROCESSED.name)
    event = json.loads(letter.value)
    assert datetime.fromisoformat(event.pop("timestamp")) == datetime.fromisoformat(payment["timestamp"])
    assert event.items() == {name: value for name, value in payment.items() if name != "timestamp"}.items()
    creation = a_command("reservation.create", a_booking(awaiting_payment=True), reservation_id=key)
    (made,) = await perform(strict, creation)
    assert made["reservation"]["status"] == "PENDING"
    (merely_repeated,) = await pay(strict, payment)
    assert (merely_repeated["outcome"], merely_repeated["replayed"]) == ("dead_lettered", True)
    assert [row[1] for row in await history(strict, key)] == ["pending"]
    await redrive(strict, letter)
    confirmed = await until(strict, key, "CONFIRMED")
    await redrive(strict, letter)
    (again,) = await pay(strict, payment)
    assert (again["outcome"], again["replayed"]) == ("applied", True)
    assert [row[1] for row in await history(strict, key)] == ["pending", "confirmed"]
    assert (await strict.ask("GET", f"/reservations/{key}"))[1] == confirmed
    assert confirmed["_rev"] == 2
    assert len(await about(strict, DEAD_LETTERS.name, key)) == 1


async def redrive(service: Service, letter: ConsumerRecord) -> None:
    """Put the original of a dead letter back on its topic."""
    position = f"{letter.partition}:{letter.offset}"
    code, _, complaints = await run(service.variables(), "dead-letters", "redrive", position)
    assert code == 0, complaints


async def test_a_payment_that_is_redriven_too_early_waits_again_and_is_given_up_again(strict: Service) -> None:
    payment = a_payment(new_reservation_id(), 398.0)
    letter = await given_up(strict, payment)

    async def given_up_again() -> list[ConsumerRecord]:
        return (await about(strict, DEAD_LETTERS.name, payment["reservation_id"]))[1:]

    await redrive(strict, letter)
    (second,) = await eventually(given_up_again)
    await send_commands(strict, payment, topic=PAYMENT_PROCESSED.name, headers=[REDRIVEN_BEFORE])
    (repeated,) = await pay(strict, payment)
    assert (repeated["outcome"], repeated["replayed"]) == ("dead_lettered", True)
    creation = a_command(
        "reservation.create", a_booking(awaiting_payment=True), reservation_id=str(second.key, "ascii")
    )
    await perform(strict, creation)
    await redrive(strict, second)
    await until(strict, payment["reservation_id"], "CONFIRMED")
