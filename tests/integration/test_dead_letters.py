"""`reservations dead-letters`: what lies there is listed, shown and put back on its topic, to take effect once."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from reservations.models.topics import (
    BULK_COMMANDS,
    COMMANDS,
    CREATED,
    DEAD_LETTERS,
    PAYMENT_PROCESSED,
    RESULTS,
    STATUS_CHANGED,
)
from tests.bookings import a_held_creation, a_payment, decoded, new_reservation_id, pay, perform, send_commands
from tests.conditions import eventually
from tests.own_service import QUICK, a_running_service
from tests.servers import Servers
from tests.service import Service, run

Json = dict[str, Any]

CANARY = "cAnArYpAyLoAd"
MUCH = b"x" * 1_000_000
GIVING_UP = {**QUICK, "CLOCK_INTERVAL_S": "0.3", "PARKED_PAYMENT_DAYS": str(0.5 / 86400)}


@pytest.fixture(scope="module")
async def forgetful(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Give a service where payments wait for a moment only."""
    folder = tmp_path_factory.mktemp("forgetful")
    async with a_running_service(servers, template, folder, GIVING_UP, workers=1) as service:
        yield service


async def dead_letters(service: Service, *command: str) -> str:
    """Run `reservations dead-letters …`, which must succeed; return what it printed."""
    code, output, complaints = await run(service.variables(), "dead-letters", *command)
    assert (code, complaints) == (0, "")
    return output


async def listed(service: Service, *options: str) -> list[Json]:
    """Return what `list --json` prints."""
    return [json.loads(line) for line in (await dead_letters(service, "list", "--json", *options)).splitlines()]


async def under(service: Service, key: bytes, count: int = 1) -> list[ConsumerRecord]:
    """Wait for so many dead letters under a key, and return them."""

    async def look() -> list[ConsumerRecord] | None:
        found = [record for record in await service.read(DEAD_LETTERS.name) if record.key == key]
        return found if len(found) >= count else None

    found = await eventually(look)
    assert found
    assert len(found) == count
    return found


def position(letter: ConsumerRecord) -> str:
    """Return where a dead letter lies, as the command line has it."""
    return f"{letter.partition}:{letter.offset}"


def at(letter: ConsumerRecord) -> str:
    """Return when a dead letter was set aside."""
    text: bytes = dict(letter.headers)["dead-letter-at"]
    return text.decode()


async def in_order(service: Service) -> tuple[str, list[ConsumerRecord]]:
    """Let three messages become dead letters, one after the other, under one key; return it and them."""
    key = str(uuid4())
    for number, topic in enumerate((COMMANDS, BULK_COMMANDS, PAYMENT_PROCESSED), start=1):
        await service.send(f"{CANARY} {number}".encode(), key.encode(), topic.name)
        await under(service, key.encode(), number)
    return key, await under(service, key.encode(), 3)


async def test_each_dead_letter_has_a_line_without_what_it_says(forgetful: Service) -> None:
    key, letters = await in_order(forgetful)
    lines = (await dead_letters(forgetful, "list", "--key", key)).splitlines()
    assert [line.split()[:3] for line in lines] == [
        [position(letter), at(letter), "VALIDATION_FAILED"] for letter in letters
    ]
    assert all(f" {key} " in line and line.endswith(f" {len(CANARY) + 2} bytes") for line in lines)
    assert CANARY not in await dead_letters(forgetful, "list") + await dead_letters(forgetful, "list", "--json")
    told = dict(letters[1].headers)
    assert (await listed(forgetful, "--key", key))[1] == {
        "position": position(letters[1]),
        "at": at(letters[1]),
        "code": "VALIDATION_FAILED",
        "topic": forgetful.topic_prefix + BULK_COMMANDS.name,
        "partition": int(told["dead-letter-partition"]),
        "offset": int(told["dead-letter-offset"]),
        "key": key,
        "size_bytes": len(CANARY) + 2,
    }


async def test_a_list_can_be_filtered(forgetful: Service) -> None:
    key, (first, second, third) = await in_order(forgetful)
    full_name = forgetful.topic_prefix + BULK_COMMANDS.name
    for options, expected in (
        ([], [first, second, third]),
        (["--limit", "2"], [first, second]),
        (["--code", "VALIDATION_FAILED", "--topic", BULK_COMMANDS.name], [second]),
        (["--topic", full_name], [second]),
        (["--code", "PAYMENT_UNCLAIMED"], []),
        (["--since", at(second)], [second, third]),
        (["--until", at(second)], [first]),
        (["--since", at(second), "--until", at(third)], [second]),
    ):
        found = await listed(forgetful, "--key", key, *options)
        assert [each["position"] for each in found] == [position(each) for each in expected], options
    assert {each["key"] for each in await listed(forgetful, "--since", at(first))} >= {key}


async def test_all_are_listed_and_none_twice(forgetful: Service) -> None:
    await in_order(forgetful)
    found = [each["position"] for each in await listed(forgetful)]
    assert sorted(found) == sorted(position(each) for each in await forgetful.read(DEAD_LETTERS.name))


async def test_those_that_came_in_one_batch_are_all_listed(own_service: Service) -> None:
    topic = own_service.topic_prefix + DEAD_LETTERS.name
    async with AIOKafkaProducer(bootstrap_servers=own_service.kafka, linger_ms=200) as producer:
        sent = [await producer.send(topic, b"?", partition=1) for _ in range(7)]
        await asyncio.gather(*sent)
    assert [each["position"] for each in await listed(own_service)] == [f"1:{n}" for n in range(7)]
    assert "size_bytes: 1" in await dead_letters(own_service, "show", "1:6")


async def test_a_transaction_s_marker_at_the_end_does_not_hold_up_a_list(forgetful: Service, servers: Servers) -> None:
    if servers.is_embedded_broker:
        pytest.skip("the embedded broker has no transactions")
    topic, key = forgetful.topic_prefix + DEAD_LETTERS.name, str(uuid4())
    async with AIOKafkaProducer(bootstrap_servers=servers.kafka_bootstrap_servers, transactional_id=key) as producer:
        for _ in range(3):
            async with producer.transaction():
                await producer.send_and_wait(topic, b"?", key.encode())
    assert len(await listed(forgetful, "--key", key)) == 3


async def test_everything_about_one_is_shown(forgetful: Service) -> None:
    key = str(uuid4()).encode()
    text, binary = json.dumps({"said": CANARY}).encode(), b"\xff\x00" + CANARY.encode()
    for number, value in enumerate((text, binary), start=1):
        await forgetful.send(value, key, headers=[("source", b"\xfe"), ("traceparent", b"00-not-one")])
        await under(forgetful, key, number)
    first, second = [
        await dead_letters(forgetful, "show", position(letter)) for letter in await under(forgetful, key, 2)
    ]
    assert first.endswith(f"value:\n{text.decode()}\n")
    assert second.endswith("value:\nbase64:/wBjQW5BcllwQXlMb0Fk\n")
    for line in (
        f"topic: {forgetful.topic_prefix}{COMMANDS.name}",
        f"key: {key.decode()}",
        f"size_bytes: {len(text)}",
        "  source: base64:/g==",
        "  traceparent: 00-not-one",
        "  dead-letter-code: VALIDATION_FAILED",
    ):
        assert line in first.splitlines()
    code, output, complaints = await run(forgetful.variables(), "dead-letters", "show", "0:987654321")
    assert (code, output, complaints) == (1, "", "There is no dead letter at 0:987654321.\n")


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe\x00", MUCH], ids=["none", "empty", "binary", "much"])
@pytest.mark.parametrize("lane", [COMMANDS, BULK_COMMANDS, PAYMENT_PROCESSED], ids=lambda lane: lane.name[-8:])
async def test_what_stays_unreadable_goes_back_as_it_came_and_is_set_aside_as_it_came(
    forgetful: Service, value: bytes | None, lane: Any
) -> None:
    key = f"key \xff of {uuid4()}".encode("latin-1")
    headers = [("source", b"\xfe\0"), ("other", b""), ("source", b"again")]
    await forgetful.send(value, key, lane.name, headers=headers)
    (letter,) = await under(forgetful, key)
    begun = datetime.now(UTC)
    for number in (2, 3):
        output = await dead_letters(forgetful, "redrive", position(letter))
        assert output == f"{position(letter)}: went to {forgetful.topic_prefix}{lane.name}\n1 redriven, 0 not.\n"
        *_, letter = await under(forgetful, key, number)
        _, *sent = [each for each in await forgetful.read(lane.name) if each.key == key]
        assert len(sent) == number - 1
        *own, (name, redriven_at) = sent[-1].headers
        assert (sent[-1].value, own, name) == (value, headers, "redriven-at")
        assert begun <= datetime.fromisoformat(redriven_at.decode()) <= datetime.now(UTC)
        assert (letter.value, letter.headers[: len(headers) + 1]) == (value, sent[-1].headers)
        assert [name for name, _ in letter.headers].count("redriven-at") == 1


async def unclaimed(service: Service, *payments: Json) -> None:
    """Send payments for which there is no reservation, and wait until they are given up."""
    await send_commands(service, *payments, topic=PAYMENT_PROCESSED.name)
    for payment in payments:
        await under(service, payment["reservation_id"].encode())


async def test_payments_redriven_twice_after_their_reservations_were_made_count_once(forgetful: Service) -> None:
    creations = [a_held_creation() for _ in range(5)]
    payments = [a_payment(each["reservation_id"], 400.0) for each in creations]
    begun = datetime.now(UTC).isoformat()
    await unclaimed(forgetful, *payments)
    await perform(forgetful, *creations)
    since = ("--code", "PAYMENT_UNCLAIMED", "--since", begun)
    for _ in range(2):
        output = await dead_letters(forgetful, "redrive", *since)
        assert output.endswith("5 redriven, 0 not.\n")
    results = await pay(forgetful, *payments)  # what was redriven is done: it stands before these
    assert [(each["outcome"], each["replayed"]) for each in results] == [("applied", True)] * 5
    moves = decoded(await forgetful.read(STATUS_CHANGED.name))
    for creation in creations:
        key = creation["reservation_id"]
        shown = (await forgetful.ask("GET", f"/reservations/{key}?include=payments"))[1]
        assert (shown["status"], shown["_rev"], shown["payments"]["paid_amount"]) == ("CONFIRMED", 2, 400.0)
        assert len({each["event_id"] for each in moves if each["reservation_id"] == key}) == 1
        await under(forgetful, key.encode(), 1)


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(forgetful: Service) -> None:
    creation = a_held_creation()
    key = creation["reservation_id"]
    await unclaimed(forgetful, a_payment(key, 400.0))
    await perform(forgetful, creation)
    topics = [COMMANDS.name, BULK_COMMANDS.name, PAYMENT_PROCESSED.name, DEAD_LETTERS.name]
    before = [len(await forgetful.read(topic)) for topic in topics]
    (letter,) = await under(forgetful, key.encode())
    output = await dead_letters(forgetful, "redrive", "--key", key, "--dry-run")
    payments = forgetful.topic_prefix + PAYMENT_PROCESSED.name
    assert output == f"{position(letter)}: would go to {payments}\n1 would be redriven, 0 not.\n"
    assert [len(await forgetful.read(topic)) for topic in topics] == before
    assert (await forgetful.ask("GET", f"/reservations/{key}"))[1]["status"] == "PENDING"


async def test_all_are_redriven_only_when_asked_for(own_service: Service) -> None:
    code, output, complaints = await run(own_service.variables(), "dead-letters", "redrive")
    assert (code, output) == (2, "")
    assert "--all" in complaints
    assert await dead_letters(own_service, "redrive", "--all") == "0 redriven, 0 not.\n"
    await leave(own_service, COMMANDS.name, b"a", b"b", b"c")
    assert (await dead_letters(own_service, "redrive", "--limit", "2", "--all")).endswith("2 redriven, 0 not.\n")
    assert (await dead_letters(own_service, "redrive", "--all")).endswith("3 redriven, 0 not.\n")
    assert len(await own_service.read(COMMANDS.name)) == 5


async def test_where_the_broker_is_and_how_its_topics_begin_is_all_there_is_to_say(own_service: Service) -> None:
    await leave(own_service, COMMANDS.name, b"good")
    variables = own_service.variables()
    said = {name: variables[name] for name in ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_PREFIX")}
    for command in (["list"], ["redrive", "--all"]):
        code, output, complaints = await run(said, "dead-letters", *command)
        assert (code, complaints) == (0, "")
        assert output
    assert [each.value for each in await own_service.read(COMMANDS.name)] == [b"good"]


async def leave(service: Service, topic: str, *values: bytes) -> None:
    """Put messages on the dead-letters topic that came from a topic."""
    headers = [("dead-letter-topic", (service.topic_prefix + topic).encode())]
    for value in values:
        await service.send(value, b"key of " + value, DEAD_LETTERS.name, headers=headers)


async def test_nothing_is_redriven_to_a_topic_that_takes_no_commands(own_service: Service) -> None:
    others = [RESULTS.name, CREATED.name, DEAD_LETTERS.name, "other", ""]
    for topic in others:
        await leave(own_service, topic, b"x")
    await own_service.send(b"x", b"no headers at all", DEAD_LETTERS.name)
    await leave(own_service, COMMANDS.name, b"good")
    code, output, complaints = await run(own_service.variables(), "dead-letters", "redrive", "--all")
    assert code == 1
    assert output.endswith("\n1 redriven, 6 not.\n")
    assert complaints.count("not redriven: nothing is redriven to ") == len(others) + 1
    assert [each.value for each in await own_service.read(COMMANDS.name)] == [b"good"]
    assert await own_service.read(RESULTS.name) == await own_service.read(CREATED.name) == []


async def test_a_position_where_nothing_lies_is_told(own_service: Service) -> None:
    await leave(own_service, COMMANDS.name, b"good")
    (letter,) = await own_service.read(DEAD_LETTERS.name)
    wanted = [position(letter), f"{letter.partition}:5", "77:0"]
    code, output, complaints = await run(own_service.variables(), "dead-letters", "redrive", *wanted)
    assert (code, output.splitlines()[-1]) == (1, "1 redriven, 2 not.")
    assert complaints.splitlines() == [f"{each}: there is no such dead letter" for each in wanted[1:]]


async def test_a_broker_that_is_away_and_topics_that_are_missing_are_told(own_service: Service) -> None:
    for settings, told in (
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "KafkaConnectionError"),
        ({"KAFKA_TOPIC_PREFIX": f"nobody{new_reservation_id()}."}, "KAFKA_TOPIC_PREFIX"),
    ):
        for command in ("list", "show", "redrive"):
            options = [] if command == "list" else ["0:0"]
            code, output, complaints = await run(
                {**own_service.variables(), **settings}, "dead-letters", command, *options
            )
            assert (code, output) == (1, "")
            assert told in complaints


async def test_times_in_the_future_select_nothing(forgetful: Service) -> None:
    await in_order(forgetful)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert await listed(forgetful, "--since", later) == []
    assert await listed(forgetful, "--until", "2020-01-01") == []
