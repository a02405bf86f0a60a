"""The OpenAPI 3.1 document, made from the operations and the models that they name."""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from reservations import __version__
from reservations.http.links import Link
from reservations.http.operations import Answer, Operation
from reservations.http.schemas import Face, JsonSchema, Schemas

_DESCRIPTION = """\
Adventure trip reservations: search, create, read, change, cancel, participants, status.

Every change is a command that takes effect once, even when it is sent again under the same `Idempotency-Key`.
A change based on a stale `_rev` is refused. A change whose outcome takes too long is answered with 202 and goes on;
`Location` then tells where the outcome can be read.
"""


_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Signed by the issuer for this service; its claims `role`, `guest_id`, `partner_id` and `scope` "
    "say what it is good for. Not asked for by a service that runs open, as on a developer's machine.",
}


def openapi(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of operations: the same, in the same order, every time."""
    schemas = Schemas.of(face for operation in operations for face in _faces(operation))
    parameters = [schemas.name((model, "validation")) for o in operations for model in (o.query, o.headers) if model]
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "svc-reservations",
            "version": __version__,
            "description": _DESCRIPTION,
            "contact": {"name": "NovaTrek Platform Team"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {"schemas": schemas.without(parameters), "securitySchemes": {"token": _TOKEN}},
        "security": [{"token": []}],
    }


def _faces(operation: Operation) -> Iterator[Face]:
    for model in (operation.query, operation.headers, operation.body):
        if model:
            yield model, "validation"
    for answer in operation.answers.values():
        if answer.model:
            yield answer.model, "serialization"


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    parts = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation.path), *_model_parameters(operation, schemas)],
        "requestBody": _request_body(operation, schemas),
        "responses": {str(s): _response(s, a, schemas) for s, a in sorted(operation.answers.items())},
    }
    return {name: part for name, part in parts.items() if part}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"The {name.removesuffix('_id')}'s id.",
            "schema": {"type": "string", "format": "uuid"},
        }


def _model_parameters(operation: Operation, schemas: Schemas) -> Iterator[dict[str, Any]]:
    for place, model in (("query", operation.query), ("header", operation.headers)):
        if model:
            fields = schemas.named[schemas.name((model, "validation"))]
            required = fields.get("required", ())
            for name, schema in fields["properties"].items():
                yield _parameter(place, name, name in required, schema)


def _parameter(place: str, name: str, required: bool, schema: JsonSchema) -> dict[str, Any]:
    plain = _without_null(schema)
    described = {"description": plain.pop("description")} if "description" in plain else {}
    return {"name": name, "in": place, "required": required, **described, "schema": plain}


def _without_null(schema: JsonSchema) -> JsonSchema:
    """Return the schema of a parameter, which is left out rather than null."""
    if "anyOf" not in schema:
        return dict(schema)
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    return {**choices[0], **rest} if len(choices) == 1 else {"anyOf": choices, **rest}


def _request_body(operation: Operation, schemas: Schemas) -> dict[str, Any] | None:
    if operation.body is None:
        return None
    content: dict[str, Any] = {"schema": schemas.references[operation.body, "validation"]}
    if operation.body_example is not None:
        content["example"] = dict(operation.body_example)
    return {"required": True, "content": {"application/json": content}}


def _response(status: int, answer: Answer, schemas: Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.description or HTTPStatus(status).phrase}
    if answer.headers:
        response["headers"] = {name: _header(meaning) for name, meaning in answer.headers.items()}
    if answer.model:
        one = schemas.references[answer.model, "serialization"]
        schema = {"type": "array", "items": one} if answer.many else one
        response["content"] = {"application/json": {"schema": schema}}
    if answer.links:
        response["links"] = {name: _link(link) for name, link in answer.links.items()}
    return response


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "string"}}


def _link(link: Link) -> dict[str, Any]:
    return {"operationId": link.operation_id, "parameters": dict(link.parameters)}
