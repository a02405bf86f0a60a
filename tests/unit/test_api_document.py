"""The document of the API itself: every operation that is promised, each with all it may answer."""

import re
from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from reservations.http.api import operations
from reservations.http.openapi import openapi
from reservations.http.operations import Operation
from reservations.http.reads import Reads
from reservations.http.writes import Writes

#: Handlers are named in the table, not called: neither the broker nor the database is needed.
OPERATIONS = operations(Writes.__new__(Writes), Reads.__new__(Reads))
ONE = "/reservations/{reservation_id}"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi(OPERATIONS)


def test_the_api_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "/reservations", {"200", "400"}),
        ("post", "/reservations", {"201", "202", "400", "409", "422"}),
        ("get", ONE, {"200", "304", "404"}),
        ("patch", ONE, {"200", "202", "400", "404", "409"}),
        ("delete", ONE, {"200", "202", "400", "404", "409"}),
        ("get", f"{ONE}/participants", {"200", "404"}),
        ("post", f"{ONE}/participants", {"201", "202", "400", "404", "409"}),
        ("put", f"{ONE}/status", {"200", "202", "400", "404", "409"}),
        ("get", "/commands/{command_id}", {"200", "400"}),
    ],
)
def test_every_promised_operation_is_there_with_its_answers(
    document: dict[str, Any], method: str, path: str, statuses: set[str]
) -> None:
    assert statuses <= document["paths"][path][method]["responses"].keys()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
def test_every_refusal_has_the_one_form_of_errors(document: dict[str, Any], operation: Operation) -> None:
    responses = document["paths"][operation.path][operation.method.lower()]["responses"]
    refusals = [response for status, response in responses.items() if status >= "400"]
    assert refusals
    for refusal in refusals:
        assert refusal["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
def test_every_limit_that_an_operation_may_meet_is_declared(document: dict[str, Any], operation: Operation) -> None:
    responses = document["paths"][operation.path][operation.method.lower()]["responses"]
    assert "Retry-After" in responses["429"]["headers"]
    assert "Retry-After" in responses["503"]["headers"]
    assert {"408", "413"} & responses.keys() == ({"408", "413"} if operation.body else set())


def test_operations_have_names_of_their_own() -> None:
    names = [operation.operation_id for operation in OPERATIONS]
    assert all(re.fullmatch("[a-z][A-Za-z]+", name) for name in names)
    assert len(set(names)) == len(names)


def test_schemas_have_plain_names(document: dict[str, Any]) -> None:
    assert [name for name in document["components"]["schemas"] if not re.fullmatch("[A-Z][A-Za-z]+", name)] == []


@pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS if o.body], ids=lambda operation: str(operation.operation_id)
)
def test_every_body_has_an_example_that_is_accepted(operation: Operation) -> None:
    assert operation.body
    assert operation.body_example
    operation.body.model_validate_json(orjson.dumps(operation.body_example))


def pattern_of(document: dict[str, Any], header: str) -> str:
    parameters = document["paths"][ONE]["patch"]["parameters"]
    return next(str(given["schema"]["pattern"]) for given in parameters if given["name"] == header)


@pytest.mark.parametrize(
    ("tag", "is_valid"), [('"1"', True), ('W/"12"', True), ("*", True), ("1", False), ('"0"', False), ("", False)]
)
def test_the_document_tells_what_if_match_may_be(document: dict[str, Any], tag: str, is_valid: bool) -> None:
    assert bool(re.search(pattern_of(document, "If-Match"), tag)) is is_valid


@pytest.mark.parametrize(
    ("day", "is_valid"), [("2000-01-01", True), ("2199-12-31", True), ("1999-12-31", False), ("2200-01-01", False)]
)
def test_the_document_tells_between_which_days_trips_are(document: dict[str, Any], day: str, is_valid: bool) -> None:
    for model in ("NewReservation", "ReservationPatch"):
        schema = document["components"]["schemas"][model]["properties"]["trip_date"]
        assert bool(re.search(schema["pattern"], day)) is is_valid


def test_what_is_shown_only_when_asked_for_is_not_required(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["ReservationWithMore"]
    assert {"status_history", "payments"} <= schema["properties"].keys()
    assert schema["properties"].keys() - set(schema["required"]) == {"status_history", "payments"}


def test_every_link_leads_to_an_operation_that_takes_what_it_gives(document: dict[str, Any]) -> None:
    taken = {
        operation["operationId"]: {f"{given['in']}.{given['name']}" for given in operation["parameters"]}
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    links = [
        link
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert {link["operationId"] for link in links} == taken.keys() - {"createReservation"}
    assert [link for link in links if not link["parameters"].keys() <= taken[link["operationId"]]] == []
