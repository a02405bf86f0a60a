"""What a contestant came to: every command once in effect and told of, or what was lost or done twice; and how fast."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from reservations.models.topics import CREATED, DEAD_LETTERS, STATUS_CHANGED
from tests.bench.arena import Arena, Before, Counts, count
from tests.bench.workload import CANCEL, CREATE, TRANSITION, Workload

EVENTS = (CREATED.name, STATUS_CHANGED.name)
READ_LIMIT_MS = 500
EFFECTS = """
SELECT
  (SELECT array_agg(message_id) FROM reservations.inbox WHERE processed_at >= $1) AS handled,
  (SELECT min(processed_at) FROM reservations.inbox WHERE processed_at >= $1) AS begun,
  (SELECT array_agg(history_id) FROM reservations.status_history WHERE changed_at >= $1) AS recorded
"""


@dataclass(frozen=True)
class Verdict:
    """One run: correct effects per second, if nothing is wrong; `wrongs` says what is."""

    per_second: float
    seconds: float
    effects: int
    wrongs: Sequence[str] = field(default=())

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


async def judge(arena: Arena, workload: Workload) -> Verdict:
    """Compare tables and topics with what was asked for, when all is committed.

    The clock runs from the begin of the first transaction (the database's clock) to the last event (the sender's):
    one machine, one clock.
    """
    connection = await asyncpg.connect(arena.database_url)
    found = await connection.fetchrow(EFFECTS, arena.before.at)
    counted = await count(connection)
    await connection.close()
    assert found, "no row"
    told, dead = await asyncio.gather(_read(arena, EVENTS), _read(arena, (DEAD_LETTERS.name,)))
    if not told:
        return Verdict(0, 0, 0, ("nothing was told",))
    effects = len(workload.effects & set(found["handled"] or ()))
    wrongs = [*_wrong_effects(workload, found, counted, arena.before), *_wrong_events(found, told)]
    if len(dead) < workload.poison:
        wrongs.append(f"{workload.poison - len(dead)} unreadable messages are lost")
    if found["begun"] is None:
        return Verdict(0, 0, effects, tuple(wrongs))
    seconds = _seconds(found["begun"], told)
    return Verdict(round(effects / seconds, 1), round(seconds, 3), effects, tuple(wrongs))


def _seconds(begun: datetime, told: Sequence[ConsumerRecord]) -> float:
    return float(max(record.timestamp for record in told) / 1000 - begun.timestamp())


def _wrong_effects(workload: Workload, found: asyncpg.Record, counted: Counts, before: Before) -> list[str]:
    kinds = workload.kinds
    wanted = {
        "reservations": kinds[CREATE],
        "participants": 2 * kinds[CREATE],
        "changes": kinds[CREATE] + kinds[TRANSITION] + kinds[CANCEL],
        "revisions": kinds.total(),
        "seats": workload.seats,
    }
    made = {name: counted[name] - before.counts.get(name, 0) for name in wanted}
    wrongs = [f"{made[name]} {name} instead of {wished}" for name, wished in wanted.items() if made[name] != wished]
    lost = workload.effects - set(found["handled"] or ())
    return [*wrongs, *([f"{len(lost)} commands are lost"] if lost else [])]


def _wrong_events(found: asyncpg.Record, told: Sequence[ConsumerRecord]) -> list[str]:
    """Compare events with the changes they tell of, by id; one told twice is no wrong."""
    recorded = set(found["recorded"] or ())
    ids = {UUID(json.loads(record.value)["event_id"]) for record in told}
    counts = {"changes are not told of": len(recorded - ids), "events tell of no change": len(ids - recorded)}
    return [f"{count} {what}" for what, count in counts.items() if count]


async def _read(arena: Arena, topics: Sequence[str]) -> list[ConsumerRecord]:
    """Read whole topics. Nobody writes any more, so silence is their end: Tansu's own end offset is too low."""
    names = [arena.topic(name) for name in topics]
    consumer = AIOKafkaConsumer(
        *names, bootstrap_servers=arena.kafka, group_id=None, auto_offset_reset="earliest", fetch_max_wait_ms=50
    )
    records: list[ConsumerRecord] = []
    await consumer.start()
    try:
        while batch := await consumer.getmany(timeout_ms=READ_LIMIT_MS):
            for some in batch.values():
                records += some
    finally:
        await consumer.stop()
    return records
