"""The AsyncAPI 3.0 document, made from the topics and the models of the messages on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reservations import __version__
from reservations.http.messages import CHANNELS, RESULTS, Channel, Header, Message
from reservations.http.schemas import JsonSchema, Schemas
from reservations.models.topics import Topic

#: Of the Kafka bindings.
_BINDING = {"bindingVersion": "0.5.0"}

_DESCRIPTION = """\
Commands that change reservations, what became of them, and the events that tell other systems.

A command takes effect once, however often it is sent under the same `command_id`; its result bears that id.
Kafka keeps the order of what has the same key. Events come at least once: a consumer drops
what it has seen by `event_id`.
"""

_BROKER = {
    "host": "{broker}",
    "variables": {"broker": {"default": "127.0.0.1:9092", "description": "One of `KAFKA_BOOTSTRAP_SERVERS`."}},
}
_LOGINS = {
    "scramSha512": {"type": "scramSha512", "description": "User and password, proved by SCRAM-SHA-512."},
    "scramSha256": {"type": "scramSha256", "description": "User and password, proved by SCRAM-SHA-256."},
    "plain": {"type": "plain", "description": "User and password, told to the broker."},
    "certificate": {"type": "X509", "description": "A certificate that the client shows (mTLS)."},
}
_SERVERS = {
    "kafka": {
        **_BROKER,
        "protocol": "kafka",
        "description": "Brokers without TLS, as on a developer's machine.",
    },
    "kafkaSecure": {
        **_BROKER,
        "protocol": "kafka-secure",
        "description": "Brokers with TLS. Who may read and write which topic is listed by `reservations acls`.",
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _LOGINS],
    },
}


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """How topics are named and created where the service runs."""

    prefix: str
    partitions: int
    replicas: int
    retention_ms: Callable[[Topic], int]


def asyncapi(layout: TopicLayout) -> dict[str, Any]:
    """Return the AsyncAPI document: the same, in the same order, every time."""
    messages = list({message.name: message for channel in CHANNELS for message in channel.messages}.values())
    schemas = Schemas.of(message.face for message in messages if message.face)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:novatrek:svc-reservations",
        "info": {
            "title": "svc-reservations",
            "version": __version__,
            "description": _DESCRIPTION,
            "contact": {"name": "NovaTrek Platform Team"},
        },
        "defaultContentType": "application/json",
        "servers": _SERVERS,
        "channels": {channel.name: _channel(channel, layout) for channel in CHANNELS},
        "operations": {channel.operation_id: _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {message.name: _message(message, schemas) for message in messages},
            "schemas": {name: _telling_its_kind(schema) for name, schema in schemas.without(()).items()},
            "securitySchemes": _LOGINS,
        },
    }


def _channel(channel: Channel, layout: TopicLayout) -> dict[str, Any]:
    address = layout.prefix + channel.topic.name
    return {
        "address": address,
        "title": channel.topic.name,
        "summary": channel.summary,
        "messages": {message.name: _reference("components", "messages", message.name) for message in channel.messages},
        "bindings": {
            "kafka": {
                "topic": address,
                "partitions": layout.partitions,
                "replicas": layout.replicas,
                "topicConfiguration": {"retention.ms": layout.retention_ms(channel.topic), **_limits(channel.topic)},
                **_BINDING,
            }
        },
    }


def _limits(topic: Topic) -> dict[str, int]:
    return {name: int(value) for name, value in topic.config.items()}


def _operation(channel: Channel) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": channel.action,
        "channel": _reference("channels", channel.name),
        "summary": channel.summary,
        "messages": _messages(channel),
    }
    if channel.is_answered:
        operation["reply"] = {"channel": _reference("channels", RESULTS.name), "messages": _messages(RESULTS)}
    return operation


def _messages(channel: Channel) -> list[dict[str, str]]:
    return [_reference("channels", channel.name, "messages", message.name) for message in channel.messages]


def _message(message: Message, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": message.name,
        "summary": message.summary,
        "headers": _headers(message.headers),
        "payload": schemas.references[message.face] if message.face else {"description": message.summary},
        "bindings": {"kafka": {"key": {"type": "string", "description": message.key}, **_BINDING}},
    }
    if message.correlation:
        described["correlationId"] = {"location": f"$message.payload#/{message.correlation}"}
    if message.examples:
        headers = {name: header.example for name, header in message.headers.items() if header.required}
        described["examples"] = [
            {"name": name, **({"headers": headers} if headers else {}), "payload": payload}
            for name, payload in message.examples.items()
        ]
    return described


def _headers(headers: Mapping[str, Header]) -> JsonSchema:
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": header.meaning, "examples": [header.example]}
            for name, header in headers.items()
        },
        "required": [name for name, header in headers.items() if header.required],
    }


def _telling_its_kind(schema: JsonSchema) -> JsonSchema:
    """Require what has one value only: readers tell messages apart by it."""
    kinds = {name: field for name, field in schema.get("properties", {}).items() if "const" in field}
    if not kinds:
        return schema
    properties = {
        name: {key: value for key, value in field.items() if name not in kinds or key != "default"}
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": properties, "required": list(dict.fromkeys([*schema["required"], *kinds]))}


def _reference(*path: str) -> dict[str, str]:
    return {"$ref": "/".join(("#", *path))}
