"""Messages that are no commands are set aside with their reason, repeated nowhere, and hold up nothing."""

import json
import math
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from reservations.models.topics import BULK_COMMANDS, COMMANDS, DEAD_LETTERS, RESULTS
from tests.bookings import a_booking, a_command, decoded, encoded
from tests.service import Service

Json = dict[str, Any]

UNKNOWN = "01900000-0000-7000-8000-000000000000"
CANARY = "cAnArYmEsSaGe"  # must appear in no log line, reason or result
MANY_DIGITS = "1" * 5000
DEEP = "[" * 1000 + "]" * 1000


def a_creation(**changes: Any) -> Json:
    """Return a good command, some of it changed."""
    return {**a_command("reservation.create", a_booking()), **changes}


def a_poor_booking(**changes: Any) -> Json:
    """Return a command whose payload is changed."""
    return a_command("reservation.create", a_booking(**changes))


def respelled(command: Json, old: str, new: str) -> bytes:
    """Return the bytes of a command, some of them changed."""
    return encoded(command).replace(old.encode(), new.encode())


UNREADABLE: Mapping[str, bytes | None] = {
    "tombstone": None,
    "empty": b"",
    "not JSON": b"nonsense " + CANARY.encode(),
    "not UTF-8": b"\xff\xfe\x00" + CANARY.encode(),
    "cut off": encoded(a_creation())[:-5],
    "array": b"[]",
    "number": b"1",
    "empty object": b"{}",
    "1,000 deep": DEEP.encode(),
    "100,000 deep": b"[" * 100_000,
    "1 MB": encoded(a_poor_booking(special_requirements="x" * 1_000_000)),
    "lone surrogate": respelled(a_poor_booking(special_requirements=CANARY), CANARY, "\\ud800" + CANARY),
    "no command id": json.dumps({k: v for k, v in a_creation().items() if k != "command_id"}).encode(),
    "command id no UUID": encoded(a_creation(command_id=CANARY)),
    "command id a number": encoded(a_creation(command_id=7)),
    "NaN": encoded(a_poor_booking(total_amount=math.nan)),
    "too many digits": respelled(a_poor_booking(party_size=424242), "424242", MANY_DIGITS),
}
#: In these the command id can be read, so that whoever sent it can be told.
MISFITS: Mapping[str, bytes] = {
    "unknown type": encoded(a_creation(type=CANARY)),
    "no type": json.dumps({k: v for k, v in a_creation().items() if k != "type"}).encode(),
    "type a list": encoded(a_creation(type=[CANARY])),
    "wrong schema": encoded(a_creation(payload={CANARY[:2]: 1})),
    "payload a list": encoded(a_creation(payload=[])),
    "unknown field": encoded(a_creation(nonsense=CANARY)),
    "id not v7": encoded(a_creation(reservation_id=str(uuid4()))),
    "id no UUID": encoded(a_creation(reservation_id=CANARY)),
    "no id": encoded(a_command("reservation.cancel", {"reason": "WEATHER"})),
    "NUL": encoded(a_poor_booking(special_requirements=f"{CANARY}\0")),
    "NUL in issued_by": encoded(a_creation(issued_by=f"{CANARY}\0")),
    "long issued_by": encoded(a_creation(issued_by=CANARY * 10)),
    "empty issued_by": encoded(a_creation(issued_by="")),
    "naive issued_at": encoded(a_creation(issued_at="2027-05-01T12:00:00")),
    "issued_at before time": encoded(a_creation(issued_at="0001-01-01T00:00:00+14:00")),
    "issued_at after time": encoded(a_creation(issued_at="9999-12-31T23:59:59-14:00")),
    "issued_at no time": encoded(a_creation(issued_at=CANARY)),
    "amount 3 decimals": encoded(a_poor_booking(total_amount=1.001)),
    "amount text": encoded(a_poor_booking(total_amount=CANARY)),
    "date no date": encoded(a_poor_booking(trip_date="2027-02-30")),
    "revision 0": encoded(a_creation(expected_rev=0)),
    "no status": encoded(a_command("reservation.transition", {"target_status": CANARY}, reservation_id=UNKNOWN)),
}
LETTER_HEADERS = {
    "dead-letter-code",
    "dead-letter-reason",
    "dead-letter-topic",
    "dead-letter-partition",
    "dead-letter-offset",
    "dead-letter-first-seen",
    "dead-letter-at",
}


@pytest.mark.parametrize("lane", [COMMANDS.name, BULK_COMMANDS.name])
@pytest.mark.parametrize("name", [*UNREADABLE, *MISFITS])
async def test_what_is_no_command_is_set_aside_whole_and_what_stands_behind_it_goes_on(
    service: Service, name: str, lane: str
) -> None:
    value = {**UNREADABLE, **MISFITS}[name]
    behind = a_creation()
    key, source = f"key \xff of {uuid4()}".encode("latin-1"), [("source", b"\xfe\0"), ("source", b"again")]
    answered = [behind["command_id"], *([json.loads(value)["command_id"]] if value and name in MISFITS else [])]
    async with service.listening(DEAD_LETTERS.name, RESULTS.name) as listener:
        sent_to = service.topic_prefix + lane
        bad = await service.producer.send(sent_to, value, key, partition=1, headers=source)
        good = await service.producer.send(sent_to, encoded(behind), key, partition=1)
        at, sent = await bad, await good
        await listener.until(lambda heard: all((letters(heard, key), *(result_of(heard, each) for each in answered))))
    (letter,) = letters(listener.heard, key)
    assert (letter.value, letter.headers[:2]) == (value, tuple(source))
    told = {header: text.decode() for header, text in letter.headers[2:]}
    assert set(told) == LETTER_HEADERS
    assert (told["dead-letter-topic"], told["dead-letter-partition"]) == (sent_to, "1")
    assert told["dead-letter-offset"] == str(at.offset)
    assert told["dead-letter-code"] == "VALIDATION_FAILED"
    assert CANARY not in told["dead-letter-reason"]
    (handled,) = result_of(listener.heard, behind["command_id"])
    assert handled.timestamp - sent.timestamp <= 1000
    for each in answered[1:]:
        (aside,) = decoded(result_of(listener.heard, each))
        assert (aside["outcome"], aside["error"]["code"]) == ("dead_lettered", "VALIDATION_FAILED")
        assert aside["error"]["message"] == told["dead-letter-reason"]
        assert CANARY not in json.dumps(aside)


def letters(heard: list[ConsumerRecord], key: bytes) -> list[ConsumerRecord]:
    """Return the dead letters with a key."""
    return [record for record in heard if record.topic.endswith(DEAD_LETTERS.name) and record.key == key]


def result_of(heard: list[ConsumerRecord], command_id: str) -> list[ConsumerRecord]:
    """Return the results of a command."""
    results = [record for record in heard if record.topic.endswith(RESULTS.name)]
    return [record for record in results if json.loads(record.value)["command_id"] == command_id]


async def test_a_message_with_neither_key_nor_value_is_set_aside_too(service: Service) -> None:
    behind = a_creation()
    source = ("source", uuid4().bytes)
    async with (
        AIOKafkaProducer(bootstrap_servers=service.kafka, key_serializer=lambda _: None) as keyless,
        service.listening(DEAD_LETTERS.name, RESULTS.name) as listener,
    ):
        topic = service.topic_prefix + COMMANDS.name
        await keyless.send_and_wait(topic, None, b"not sent", partition=1, headers=[source])
        await service.producer.send_and_wait(topic, encoded(behind), b"key", partition=1)
        await listener.until(lambda heard: bool(result_of(heard, behind["command_id"]) and letters(heard, b"")))
    (letter,) = [each for each in letters(listener.heard, b"") if source in each.headers]
    assert letter.value is None


@pytest.mark.parametrize("time_ms", [0, 2**53, 2**62], ids=["1970", "microseconds", "never"])
@pytest.mark.parametrize("value", [b"nonsense", encoded(a_creation())], ids=["unreadable", "command"])
async def test_a_message_with_an_impossible_time_does_not_stop_the_worker(
    service: Service, value: bytes, time_ms: int
) -> None:
    await goes_on_behind(service, value, timestamp_ms=time_ms)


@pytest.mark.parametrize("text", [None, b"", b"\xff", CANARY.encode(), b"00-" + CANARY.encode()])
@pytest.mark.parametrize("value", [b"nonsense", encoded(a_creation())], ids=["unreadable", "command"])
async def test_a_message_with_a_strange_trace_does_not_stop_the_worker(
    service: Service, value: bytes, text: bytes | None
) -> None:
    await goes_on_behind(service, value, headers=[("traceparent", text), ("tracestate", text)])


async def goes_on_behind(service: Service, value: bytes, **options: Any) -> None:
    """Send a strange message, and see that the one behind it is handled."""
    behind = a_creation()
    async with service.listening(RESULTS.name) as listener:
        await service.send(value, b"same", **options)
        await service.send(encoded(behind), b"same")
        await listener.until(lambda heard: bool(result_of(heard, behind["command_id"])))


async def test_no_value_of_a_message_is_in_the_logs(service: Service) -> None:
    await goes_on_behind(service, b"nonsense " + CANARY.encode())
    await goes_on_behind(service, encoded(a_poor_booking(special_requirements=CANARY)))
    await goes_on_behind(service, encoded(a_creation()), headers=[("traceparent", f"00-{CANARY}".encode())])
    lines = [line for process in service.processes for line in process.raw_lines()]
    assert [line for line in lines if CANARY in line] == []
