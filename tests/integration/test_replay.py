"""The whole log read again: nothing happens twice, and nothing new is told."""

from collections import Counter
from dataclasses import replace
from typing import Any

from reservations.models.topics import DEAD_LETTERS, PAYMENT_PROCESSED, RESULTS
from tests.bookings import (
    a_command,
    a_held_creation,
    a_payment,
    decoded,
    new_reservation_id,
    pay,
    perform,
    send_commands,
    told,
)
from tests.conditions import eventually
from tests.own_service import QUICK, connected, start_workers, until_waiting
from tests.service import Service, run

Json = dict[str, Any]

LIMIT_S = 60
EARLY = 5  # payments that wait for their reservation; its creation tells of them each time
GIVING_UP = {"CLOCK_INTERVAL_S": "0.3", "PARKED_PAYMENT_DAYS": str(0.5 / 86400)}
TABLES = ("reservations", "participants", "status_history", "inbox", "trip_slots", "guest_days")
ROWS = "SELECT t::text FROM reservations.{} AS t ORDER BY 1"


async def dump(service: Service) -> dict[str, list[str]]:
    """Return every row of every table."""
    async with connected(service) as connection:
        return {table: [row[0] for row in await connection.fetch(ROWS.format(table))] for table in TABLES}


async def a_life(service: Service) -> int:
    """Let much happen that a replay could do twice; return how many messages have a result."""
    made = [a_held_creation(party_size=2) for _ in range(20)]
    ids = [each["reservation_id"] for each in made]
    early = [a_payment(key, 60.0) for key in ids[:EARLY]]
    await send_commands(service, *early, topic=PAYMENT_PROCESSED.name)
    await until_waiting(service, len(early), *ids)
    paid = [a_payment(key, 100.0) for key in ids]
    changes = [a_command("reservation.update", {"trip_date": "2027-07-01"}, reservation_id=key) for key in ids[5:10]]
    refunds = [a_payment(key, 100.0, status="REFUNDED") for key in ids[10:15]]
    late = [a_payment(key, 5.0) for key in ids[10:12]]
    wrong = [a_payment(ids[0], 1.0, currency="EUR"), a_payment(ids[0], -1.0), a_payment(ids[0], 1.0, status="LOST")]
    ends = [a_command("reservation.cancel", {"reason": "WEATHER"}, reservation_id=key) for key in ids[15:18]]
    stale = [a_command("reservation.update", {"party_size": 9}, reservation_id=ids[0], expected_rev=1)]
    joins = [a_command("participant.add", {"guest_id": "7a0e7bbe-0fb1-4d3c-8f0c-3b4a8f1f6a10"}, reservation_id=ids[1])]
    await perform(service, *made)
    for events in (paid, refunds, [*late, *wrong]):
        await pay(service, *events)
    await perform(service, *changes, *ends, *stale, *joins)
    unclaimed = a_payment(new_reservation_id(), 7.0)
    await send_commands(service, unclaimed, topic=PAYMENT_PROCESSED.name)
    await until_waiting(service, 1, unclaimed["reservation_id"])
    return sum(map(len, (made, early, paid, changes, refunds, late, wrong, ends, stale, joins)))


async def test_reading_the_whole_log_again_changes_no_row_and_tells_of_nothing_new(own_service: Service) -> None:
    own_service.environment = {**QUICK, **own_service.environment}
    await start_workers(own_service)
    count = await a_life(own_service)
    rows, events = await dump(own_service), await told(own_service)
    assert all(rows.values())
    answered = len(await own_service.read(RESULTS.name))
    assert answered == count
    for worker in own_service.processes:
        assert await worker.stop() == 0
    again = replace(own_service, environment={**own_service.environment, "KAFKA_GROUP": "again"})
    await start_workers(again)
    await eventually(lambda: _has(again, RESULTS.name, 2 * count + EARLY), limit_s=LIMIT_S)
    assert await dump(again) == rows
    assert await told(again) == events
    repeated = decoded(await again.read(RESULTS.name))
    assert sum(each["replayed"] for each in repeated) == count + EARLY - _dead_lettered(repeated) // 2


async def test_a_payment_that_was_set_aside_stays_so_when_the_log_is_read_again_and_a_redriven_one_counts_once(
    own_service: Service,
) -> None:
    own_service.environment = {**QUICK, **GIVING_UP, **own_service.environment}
    await start_workers(own_service)
    creations = [a_held_creation() for _ in range(2)]
    left, redriven = [a_payment(each["reservation_id"], 400.0) for each in creations]
    await send_commands(own_service, left, redriven, topic=PAYMENT_PROCESSED.name)
    await eventually(lambda: _has(own_service, DEAD_LETTERS.name, 2))
    await perform(own_service, *creations)
    await complete_with(own_service, "dead-letters", "redrive", "--key", redriven["reservation_id"])
    await eventually(lambda: _has(own_service, RESULTS.name, 3))
    rows, events = await dump(own_service), await told(own_service)
    assert len(events) == 3
    for worker in own_service.processes:
        assert await worker.stop() == 0
    again = replace(own_service, environment={**own_service.environment, "KAFKA_GROUP": "again"})
    await start_workers(again)
    # Two creations, two payments, and the one that was redriven once more.
    await eventually(lambda: _has(again, RESULTS.name, 3 + 5), limit_s=LIMIT_S)
    assert await dump(again) == rows
    assert await told(again) == events
    assert len(await again.read(DEAD_LETTERS.name)) == 2
    repeated = [each for each in decoded(await again.read(RESULTS.name)) if each["replayed"]]
    assert Counter((each["command_id"], each["outcome"]) for each in repeated) == {
        (left["event_id"], "dead_lettered"): 1,
        (redriven["event_id"], "applied"): 2,
        **{(each["command_id"], "applied"): 1 for each in creations},
    }


async def complete_with(service: Service, *command: str) -> None:
    """Run a command of the service, which must succeed."""
    code, _, complaints = await run(service.variables(), *command)
    assert code == 0, complaints


async def _has(service: Service, topic: str, count: int) -> bool:
    return len(await service.read(topic)) >= count


def _dead_lettered(results: list[Json]) -> int:
    return sum(each["outcome"] == "dead_lettered" for each in results)
