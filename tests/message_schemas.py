"""What the AsyncAPI document says of messages, to try messages by."""

import json
from collections.abc import Mapping
from typing import Any

from aiokafka import ConsumerRecord
from jsonschema import Draft7Validator, FormatChecker

from reservations.models.topics import COMMANDS
from tests.service import Service

Json = dict[str, Any]
COMMAND_NAMES = {
    "reservation.create": "CreateReservation",
    "reservation.update": "UpdateReservation",
    "participant.add": "AddParticipant",
    "reservation.transition": "TransitionReservation",
    "reservation.cancel": "CancelReservation",
}


def complaints(document: Json, schema: Any, value: Any) -> list[str]:
    """Return what is wrong with a value by a schema of the document."""
    whole = {"allOf": [schema], "components": document["components"]}
    errors = Draft7Validator(whole, format_checker=FormatChecker()).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in errors]


def message_complaints(document: Json, name: str, payload: Any, headers: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a message, its payload and its headers."""
    message = document["components"]["messages"][name]
    return complaints(document, message["payload"], payload) + complaints(document, message["headers"], dict(headers))


def headers_of(record: ConsumerRecord) -> dict[str, str]:
    """Return the headers of a message as text."""
    return {name: value.decode(errors="replace") for name, value in record.headers if value is not None}


async def document_of(service: Service) -> dict[str, Any]:
    """Return the document that the gateway serves."""
    status, document, _ = await service.ask("GET", "/asyncapi.json")
    assert status == 200
    found: dict[str, Any] = document
    return found


async def commands_of(service: Service, trace: str) -> list[dict[str, Any]]:
    """Return the commands that the gateway sent within a trace, which are as the document says."""
    document = await document_of(service)
    asked = [
        json.loads(record.value)
        for record in await service.read(COMMANDS.name)
        if trace in headers_of(record).get("traceparent", "")
    ]
    for command in asked:
        schema = document["components"]["messages"][COMMAND_NAMES[command["type"]]]["payload"]
        assert complaints(document, schema, command) == []
    return asked
