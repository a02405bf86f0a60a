"""`reservations events replay`: what was told is told again, and nothing that was not."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import ConsumerRecord
from typer.testing import CliRunner, Result

from reservations.app.cli import app
from reservations.app.settings import Settings
from reservations.app.topics import ensure_topics
from reservations.models.topics import CREATED, STATUS_CHANGED
from tests.bookings import a_command, a_held_creation, a_payment, decoded, pay, perform
from tests.conftest import prefix
from tests.own_service import connected
from tests.service import Service

Events = dict[str, bytes]


async def a_history(service: Service, count: int = 5) -> list[str]:
    """Make reservations that are paid and then cancelled; return their ids."""
    made = [a_held_creation() for _ in range(count)]
    ids = [each["reservation_id"] for each in made]
    await perform(service, *made)
    await pay(service, *(a_payment(key, 100.0) for key in ids))
    await perform(service, *(a_command("reservation.cancel", {"reason": "WEATHER"}, reservation_id=key) for key in ids))
    return ids


async def replay(service: Service, topic_prefix: str, *options: str) -> Result:
    """Run the replay onto topics of that prefix, which are as empty as topics that were wiped."""
    variables = {**service.variables(), "KAFKA_TOPIC_PREFIX": topic_prefix}
    await ensure_topics(Settings(**{name.lower(): value for name, value in variables.items()}))  # type: ignore[arg-type]
    runner = CliRunner(env=variables)
    since = ("--since", (datetime.now(UTC) - timedelta(days=1)).isoformat())
    return await asyncio.to_thread(runner.invoke, app, ["events", "replay", *since, *options])


async def published(service: Service, topic_prefix: str) -> list[ConsumerRecord]:
    """Return all events on topics of that prefix."""
    own, service.topic_prefix = service.topic_prefix, topic_prefix
    try:
        return [record for topic in (CREATED, STATUS_CHANGED) for record in await service.read(topic.name)]
    finally:
        service.topic_prefix = own


def by_id(records: list[ConsumerRecord]) -> Events:
    """Return events by their ids."""
    return {json.loads(record.value)["event_id"]: record.value for record in records}


def of(ids: list[str], events: Events) -> Events:
    """Return the events of these reservations."""
    return {key: value for key, value in events.items() if json.loads(value)["reservation_id"] in ids}


async def test_consumers_of_wiped_topics_get_the_same_events_byte_for_byte(service: Service) -> None:
    ids, empty = await a_history(service), prefix()
    before = by_id(await published(service, service.topic_prefix))
    result = await replay(service, empty, "--json", "--progress")
    assert result.exit_code == 0, result.output
    records = await published(service, empty)
    assert of(ids, by_id(records)) == of(ids, before)
    assert len(of(ids, before)) == 3 * len(ids)
    assert "events: " in result.stderr
    headers = dict(records[0].headers)
    assert headers["ce_id"].decode() == json.loads(records[0].value)["event_id"]
    assert headers["replayed-at"]
    revisions: dict[str, list[int]] = {}
    for event in decoded(records):
        revisions.setdefault(event["reservation_id"], []).append(event.get("_rev", 1))
    assert all(found == sorted(found) for found in revisions.values())


async def test_what_the_inbox_has_no_more_is_put_together_from_history(service: Service) -> None:
    (reservation_id,), empty = await a_history(service, 1), prefix()
    before = of([reservation_id], by_id(await published(service, service.topic_prefix)))
    async with connected(service) as connection:
        await connection.execute("DELETE FROM reservations.inbox WHERE reservation_id = $1", reservation_id)
    result = await replay(service, empty, "--reservation-id", reservation_id, "--json")
    counts: dict[str, Any] = json.loads(result.stdout)
    assert counts == {"reservation.created": 1, "reservation.status_changed": 2, "rebuilt": 3}
    assert by_id(await published(service, empty)) == before


async def test_a_dry_run_a_time_ahead_and_what_was_not_committed_tell_nothing(service: Service) -> None:
    (reservation_id,), empty = await a_history(service, 1), prefix()
    only = ("--reservation-id", reservation_id)
    dry = await replay(service, empty, *only, "--dry-run")
    assert "Would publish 1 reservation.created, 2 reservation.status_changed" in dry.stdout
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert "no events" in (await replay(service, empty, *only, "--since", ahead)).stdout
    async with connected(service) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO reservations.status_history SELECT (left(history_id::text, 35) || 'f')::uuid, reservation_id, "
            "old_status, 'completed', changed_by, reason, now(), details FROM reservations.status_history "
            "WHERE reservation_id = $1 LIMIT 1",
            reservation_id,
        )
        assert (await replay(service, empty, *only)).exit_code == 0
        await transaction.rollback()
    assert len(await published(service, empty)) == 3
    assert (await replay(service, empty, *only, "--since", "yesterday")).exit_code == 2
