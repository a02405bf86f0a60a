"""The AsyncAPI document: valid, true of the topics and of what the service puts on them, with examples that hold."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import orjson
import pytest
from jsonschema import Draft7Validator
from pydantic import TypeAdapter

from reservations.agents import publications
from reservations.http.asyncapi import TopicLayout, asyncapi
from reservations.http.messages import CHANNELS, TRACE, Message
from reservations.models.commands import COMMANDS, Command
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.events import Announcement
from reservations.models.results import set_aside
from reservations.models.topics import COMMANDS as COMMAND_TOPIC
from reservations.models.topics import DAY_MS, DEAD_LETTERS, INTAKE, MAX_DEAD_LETTER_BYTES, TOPICS
from tests.message_schemas import Json, complaints, message_complaints

SPECIFICATION = Path(__file__).parents[1] / "asyncapi"
LAYOUT = TopicLayout("t.", 12, 3, lambda topic: 5 * DAY_MS if topic is DEAD_LETTERS else topic.retention_ms)
MESSAGES = {message.name: message for channel in CHANNELS for message in channel.messages}
COMMAND_MESSAGES = [model.__name__ for model in get_args(Command)]
STATUS_CHANGED = "reservation.status_changed"
NOW = datetime(2031, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def document() -> Json:
    return asyncapi(LAYOUT)


def nodes(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


@dataclass
class Came:
    """A message as it came in."""

    topic: str = COMMAND_TOPIC.name
    partition: int = 3
    offset: int = 1042
    timestamp: float = NOW.timestamp()
    headers: Sequence[tuple[str, bytes]] | None = (("traceparent", b"00-1-2-01"), ("tracestate", b"a=b"))
    key: bytes | None = None
    value: bytes | None = None


def published() -> Mapping[str, Sequence[publications.Publication]]:
    """Return messages of each kind that goes out, by its name in the document."""
    refusal, told = Rejected(ErrorCode.VALIDATION_FAILED, "is empty"), {}
    for name, event_type in (("ReservationCreated", "reservation.created"), ("StatusChanged", STATUS_CHANGED)):
        announcement = Announcement("1", event_type, "t", "r", "{}")
        told[name] = [publications.event(Came(), announcement, 0), publications.event_again(announcement, NOW, 0)]
    return {
        **told,
        "CommandResult": [publications.result_aside(Came(), set_aside(UUID(int=1), refusal, NOW))],
        "DeadLetter": [publications.dead_letter(Came(headers=()), refusal, NOW)],
    }


def test_the_document_is_valid_by_the_schema_of_the_specification(document: Json) -> None:
    schema = json.loads((SPECIFICATION / "3.0.0.json").read_bytes())
    assert [f"{e.json_path}: {e.message[:300]}" for e in Draft7Validator(schema).iter_errors(document)] == []


def test_the_schema_of_the_specification_is_unchanged() -> None:
    vendored = json.loads((SPECIFICATION / "vendored.json").read_bytes())
    found = {name: sha256((SPECIFICATION / name).read_bytes()).hexdigest() for name in vendored["sha256"]}
    assert found == vendored["sha256"]
    assert {"3.0.0.json", "LICENSE"} <= found.keys()


def test_every_reference_leads_somewhere_and_every_schema_is_referred_to(document: Json) -> None:
    references = {node["$ref"] for node in nodes(document) if "$ref" in node}
    for reference in references:
        node = document
        for step in reference.split("/")[1:]:
            node = node[step]
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert named == {reference for reference in references if "/schemas/" in reference}


def test_every_topic_is_a_channel_as_it_is_created(document: Json) -> None:
    bindings = {channel["address"]: channel["bindings"]["kafka"] for channel in document["channels"].values()}
    assert bindings.keys() == {f"t.{topic.name}" for topic in TOPICS}
    for topic in TOPICS:
        found = bindings[f"t.{topic.name}"]
        assert (found["topic"], found["partitions"], found["replicas"]) == (f"t.{topic.name}", 12, 3)
        assert found["topicConfiguration"]["retention.ms"] == LAYOUT.retention_ms(topic)
    letters = bindings[f"t.{DEAD_LETTERS.name}"]["topicConfiguration"]
    assert letters == {"retention.ms": 5 * DAY_MS, "max.message.bytes": MAX_DEAD_LETTER_BYTES}


def test_what_workers_read_is_received_and_answered_and_all_else_is_sent(document: Json) -> None:
    received = {channel.topic.name for channel in CHANNELS if channel.action == "receive"}
    assert received == {topic.name for topic in INTAKE}
    for operation in document["operations"].values():
        answers = operation.get("reply", {}).get("channel")
        assert answers == ({"$ref": "#/channels/commandResults"} if operation["action"] == "receive" else None)


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_every_example_is_as_its_schema_says_and_is_read_by_its_model(document: Json, message: Message) -> None:
    examples = document["components"]["messages"][message.name].get("examples", [])
    assert bool(examples) == (message.face is not None)
    for example in examples:
        assert message_complaints(document, message.name, example["payload"], example.get("headers", {})) == []
        assert message.face
        TypeAdapter(message.face[0]).validate_json(orjson.dumps(example["payload"]))


def test_every_command_that_is_understood_is_on_both_lanes(document: Json) -> None:
    for channel in ("commands", "bulkCommands"):
        assert list(document["channels"][channel]["messages"]) == COMMAND_MESSAGES


@pytest.mark.parametrize("name", COMMAND_MESSAGES)
def test_what_a_command_lacks_or_has_too_much_is_seen_by_the_schema_as_by_the_worker(document: Json, name: str) -> None:
    good = document["components"]["messages"][name]["examples"][0]["payload"]
    poor: list[Json] = [{**good, "nonsense": 1}, {**good, "type": "unknown"}, {**good, "issued_by": ""}]
    poor += [{key: value for key, value in good.items() if key != missing} for missing in ("type", "command_id")]
    for each in poor:
        with pytest.raises(ValueError, match=r".+"):
            COMMANDS.validate_json(orjson.dumps(each))
        assert complaints(document, document["components"]["messages"][name]["payload"], each) != []


@pytest.mark.parametrize(
    ("acting_for", "is_good"),
    [
        ({"guest_id": str(UUID(int=1))}, True),
        ({"guest_id": str(UUID(int=1)), "partner_id": None}, True),
        ({"partner_id": "alpine-tours"}, True),
        (None, True),
        ({}, False),
        ({"guest_id": None}, False),
        ({"guest_id": str(UUID(int=1)), "partner_id": "alpine-tours"}, False),
        ({"agency_id": "alpine-tours"}, False),
    ],
)
@pytest.mark.parametrize("name", COMMAND_MESSAGES)
def test_a_command_is_for_one_guest_or_one_partner_for_the_schema_as_for_the_worker(
    document: Json, name: str, acting_for: Json | None, is_good: bool
) -> None:
    message = document["components"]["messages"][name]
    command = {**message["examples"][0]["payload"], "acting_for": acting_for}
    assert (complaints(document, message["payload"], command) == []) is is_good
    try:
        COMMANDS.validate_json(orjson.dumps(command))
    except ValueError:
        assert not is_good
    else:
        assert is_good


def test_an_amount_is_a_number_for_the_schema_as_for_the_worker(document: Json) -> None:
    payment = document["components"]["messages"]["PaymentProcessed"]
    told = {**payment["examples"][0]["payload"], "amount": "398.00"}
    assert len(complaints(document, payment["payload"], told)) == 1


def test_messages_that_are_answered_say_by_which_id(document: Json) -> None:
    messages = document["components"]["messages"]
    tied = {
        name: message["correlationId"]["location"] for name, message in messages.items() if "correlationId" in message
    }
    command_id = "$message.payload#/command_id"
    assert tied == {
        **dict.fromkeys(COMMAND_MESSAGES, command_id),
        "PaymentProcessed": "$message.payload#/event_id",
        "CommandResult": command_id,
    }


@pytest.mark.parametrize("name", published())
def test_a_message_has_the_headers_that_are_said_of_it_and_is_on_that_topic(document: Json, name: str) -> None:
    schema = document["components"]["messages"][name]["headers"]
    sent = published()[name]
    assert list(dict.fromkeys(header for each in sent for header, _ in each.headers)) == list(schema["properties"])
    assert {c.topic.name for c in CHANNELS if MESSAGES[name] in c.messages} == {each.topic for each in sent}
    always = set.intersection(*({header for header, _ in each.headers} for each in sent)) - TRACE.keys()
    assert set(schema["required"]) <= always
    for each in sent:
        headers = {header: value.decode() for header, value in each.headers}
        assert complaints(document, schema, headers) == []
        assert complaints(document, schema, {**headers, next(iter(headers)): 1}) != []
    if name != "DeadLetter":  # some of which waited so long that their partition and offset are forgotten
        assert set(schema["required"]) == always


def test_nothing_tells_where_the_brokers_are(document: Json) -> None:
    assert {server["host"] for server in document["servers"].values()} == {"{broker}"}


def test_the_document_is_the_same_every_time(document: Json) -> None:
    assert repr(asyncapi(LAYOUT)) == repr(document)
