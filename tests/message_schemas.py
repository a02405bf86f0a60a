"""What the AsyncAPI document says of messages, to try messages by."""

from collections.abc import Mapping
from typing import Any

from aiokafka import ConsumerRecord
from jsonschema import Draft7Validator, FormatChecker

Json = dict[str, Any]


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
