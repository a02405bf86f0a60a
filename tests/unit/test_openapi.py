"""The OpenAPI document, made from a small table of operations that has one of everything."""

from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, Field

from reservations import __version__
from reservations.http.openapi import openapi
from reservations.http.operations import Answer, Operation
from reservations.models.access import Action
from reservations.models.commands import NewParticipant, NewReservation
from reservations.models.reservation import Participant, Reservation
from reservations.models.vocabulary import Status


class Search(BaseModel):
    """Filters."""

    guest_id: Annotated[UUID | None, Field(description="Only this guest's.")] = None
    status: Status | None = None
    page: Annotated[int, Field(ge=0)] = 0
    reason: str


class WriteHeaders(BaseModel):
    """Headers of a write."""

    idempotency_key: Annotated[str | None, Field(alias="Idempotency-Key", description="Once per key.")] = None


class Refusal(BaseModel):
    """The body of an error."""

    error: str
    title: str


async def answer_nothing(_request: web.Request) -> web.Response:
    return web.Response()


NOT_FOUND = Answer("There is no such reservation.", Refusal)
EXAMPLE = {"guest_id": "018f2b7c-0000-7000-8000-000000000001", "trip_date": "2031-05-01"}
OPERATIONS = (
    Operation(
        "GET",
        "/reservations",
        "search",
        "Search",
        "Booking",
        Action.READ,
        answer_nothing,
        {200: Answer("Found.")},
        query=Search,
    ),
    Operation(
        "POST",
        "/reservations",
        "create",
        "Create",
        "Booking",
        Action.READ,
        answer_nothing,
        {400: Answer("Malformed.", Refusal), 201: Answer("Made.", Reservation, headers={"Location": "Where it is."})},
        description="Takes effect once.",
        headers=WriteHeaders,
        body=NewReservation,
        body_example=EXAMPLE,
    ),
    Operation(
        "GET",
        "/reservations/{reservation_id}/participants",
        "list",
        "List",
        "Party",
        Action.READ,
        answer_nothing,
        {200: Answer("The party.", Participant, many=True), 404: NOT_FOUND},
    ),
    Operation(
        "POST",
        "/reservations/{reservation_id}/participants",
        "add",
        "Add",
        "Party",
        Action.READ,
        answer_nothing,
        {201: Answer("Added.", Participant), 404: NOT_FOUND},
        headers=WriteHeaders,
        body=NewParticipant,
    ),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi(OPERATIONS)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def create(document: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = document["paths"]["/reservations"]["post"]
    return operation


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == __version__


def test_every_reference_leads_to_a_schema_and_every_schema_is_referred_to(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in nodes(document) if "$ref" in node}
    assert references == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_a_schema_has_the_name_of_its_model_and_no_other(document: dict[str, Any]) -> None:
    assert list(document["components"]["schemas"]) == [
        "BookingSource",
        "EmergencyContact",
        "NewParticipant",
        "NewReservation",
        "Participant",
        "Refusal",
        "Reservation",
        "Role",
        "Status",
    ]


def test_only_a_property_is_ever_called_title(document: dict[str, Any]) -> None:
    parts = [document["paths"], document["components"]]
    titles = [node["title"] for node in nodes(parts) if "title" in node]
    assert titles == [{"type": "string"}]


def test_no_default_is_null(document: dict[str, Any]) -> None:
    assert not [node for node in nodes(document) if node.get("default", ...) is None]


def test_a_parameter_is_described_once_and_never_null(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/reservations"]["get"]["parameters"]
    assert parameters == [
        {
            "name": "guest_id",
            "in": "query",
            "required": False,
            "description": "Only this guest's.",
            "schema": {"type": "string", "format": "uuid"},
        },
        {"name": "status", "in": "query", "required": False, "schema": {"$ref": "#/components/schemas/Status"}},
        {"name": "page", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 0, "default": 0}},
        {"name": "reason", "in": "query", "required": True, "schema": {"type": "string"}},
    ]


def test_headers_go_by_their_aliases_after_what_the_path_names(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/reservations/{reservation_id}/participants"]["post"]["parameters"]
    assert [(p["in"], p["name"], p["required"]) for p in parameters] == [
        ("path", "reservation_id", True),
        ("header", "Idempotency-Key", False),
    ]
    assert parameters[0]["schema"] == {"type": "string", "format": "uuid"}


def test_a_body_is_required_and_comes_with_its_example(document: dict[str, Any]) -> None:
    assert create(document)["requestBody"] == {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/NewReservation"}, "example": EXAMPLE}
        },
    }


def test_answers_stand_by_status_with_their_headers_and_models(document: dict[str, Any]) -> None:
    responses = create(document)["responses"]
    assert list(responses) == ["201", "400"]
    assert responses["201"]["headers"] == {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}
    assert responses["400"]["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}


def test_an_answer_of_many_is_an_array(document: dict[str, Any]) -> None:
    party = document["paths"]["/reservations/{reservation_id}/participants"]["get"]["responses"]["200"]
    assert party["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Participant"},
    }


def test_an_answer_is_described_as_it_is_written_and_a_body_as_it_is_read(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert "id" in schemas["Reservation"]["properties"]
    assert "promo_code" not in schemas["Reservation"]["properties"]
    assert schemas["NewReservation"]["required"] == ["guest_id", "trip_id", "trip_date"]


def test_tags_are_listed_once_each_in_the_order_they_are_met(document: dict[str, Any]) -> None:
    assert document["tags"] == [{"name": "Booking"}, {"name": "Party"}]


def test_the_document_is_the_same_every_time(document: dict[str, Any]) -> None:
    assert repr(openapi(OPERATIONS)) == repr(document)
