"""The ledger of a round: the journal and every message of every topic, as tables beside the service's own."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from tests.databases import Connection
from tests.faults.deployment import TOPICS, Deployment
from tests.faults.journal import Journal

Row = Sequence[Any]
MESSAGE_COLUMNS = ["topic", "partition", "position", "at", "key", "value", "headers", "body"]


def _instant(unix_s: float | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)


async def write_journal(connection: Connection, journal: Journal) -> None:
    """Write what was sent and answered."""
    accepted = {UUID(str(each["command_id"])): each["at"] for each in reversed(journal.all("accepted"))}
    for each in journal.all("answer"):
        if each["status"] in (200, 201, 202):
            accepted.setdefault(each["command_id"], each["at"])
    sent = {UUID(str(each["command_id"])): each for each in reversed(journal.all("sent"))}
    columns = ["command_id", "lane", "kind", "reservation_id", "expected_rev", "seats", "first_at", "accepted_at"]
    rows = [
        (
            *(key, each["lane"], each["kind"], each["reservation_id"], each["expected_rev"], each["seats"]),
            *(_instant(each["at"]), _instant(accepted.get(key))),
        )
        for key, each in sent.items()
    ]
    await _copy(connection, "sent", columns, rows)
    poisoned = {each["value"]: each["at"] for each in journal.all("poison_accepted")}
    poison = [
        (each["lane"], bytes.fromhex(each["key"]), bytes.fromhex(each["value"]), _instant(poisoned.get(each["value"])))
        for each in journal.all("poison")
    ]
    await _copy(connection, "poison", ["lane", "key", "value", "accepted_at"], poison)
    for table, columns in {
        "answer": ["command_id", "status", "code", "reservation_id", "rev"],
        "read": ["reservation_id", "answered_rev", "status", "seen_rev"],
    }.items():
        rows = [(*(each[column] for column in columns), _instant(each["at"])) for each in journal.all(table)]
        await _copy(connection, table, [*columns, "at"], rows)
    facts = [(each["name"], _instant(each["at"])) for each in journal.all("fact")]
    await _copy(connection, "fact", ["name", "at"], facts)


async def write_samples(connection: Connection, journal: Journal) -> None:
    """Write the offsets that were looked at, and what was in the inbox then."""
    offsets, inbox = [], []
    for number, each in enumerate(journal.all("sample")):
        offsets += [(number, _instant(each["looked_at"]), *place) for place in each["committed"]]
        inbox += [(number, UUID(message_id)) for message_id in each["inbox"]]
    await _copy(connection, "sample", ["sample", "at", "topic", "partition", "committed"], offsets)
    await _copy(connection, "sampled_inbox", ["sample", "message_id"], inbox)


async def write_messages(connection: Connection, deployment: Deployment) -> None:
    """Write every message of every topic, in place of those that were there."""
    await connection.execute("TRUNCATE faults.message")
    await write_records(connection, await read_topics(deployment), deployment.prefix)


async def write_records(connection: Connection, records: Iterable[ConsumerRecord], prefix: str) -> None:
    """Write messages of topics whose names have this prefix."""
    await _copy(connection, "message", MESSAGE_COLUMNS, [_message(prefix, record) for record in records])


async def read_topics(deployment: Deployment) -> list[ConsumerRecord]:
    """Return every message of every topic, up to the ends as they are now."""
    names = [deployment.topic(name) for name in TOPICS]
    consumer = AIOKafkaConsumer(
        *names, bootstrap_servers=deployment.kafka, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        records: list[ConsumerRecord] = []
        for partition, end in (await consumer.end_offsets(consumer.assignment())).items():
            while await consumer.position(partition) < end:
                for found in (await consumer.getmany(partition, timeout_ms=1000)).values():
                    records += found
        return records
    finally:
        await consumer.stop()


def short(prefix: str, topic: str) -> str:
    """Return the last words of a topic's name, as the ledger has them."""
    return topic.removeprefix(prefix).rpartition(".")[2]


def _message(prefix: str, record: ConsumerRecord) -> Row:
    headers = json.dumps([[name, value.hex() if value is not None else None] for name, value in record.headers])
    return (
        *(short(prefix, record.topic), record.partition, record.offset, _instant(record.timestamp / 1000)),
        *(record.key, record.value, headers, _body(record.value)),
    )


def _body(value: bytes | None) -> str | None:
    """Return a message's JSON, if it is an object that Postgres can keep."""
    try:
        read = json.loads(value or b"")
    except ValueError:
        return None
    return json.dumps(read) if isinstance(read, dict) and b"\\u0000" not in (value or b"") else None


async def _copy(connection: Connection, table: str, columns: list[str], rows: Iterable[Row]) -> None:
    await connection.copy_records_to_table(table, schema_name="faults", columns=columns, records=rows)
