"""What Schemathesis is taught of this API: whose token is used, and the rules that no JSON schema can say."""

import os
from itertools import count
from typing import Any
from uuid import UUID

import schemathesis
from schemathesis import HookContext
from schemathesis.checks import CheckContext
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import positive_data_acceptance

#: Names the variable with the guest whose token is used, if it is a guest's.
GUEST_ID = "SCHEMA_GUEST_ID"
_NUMBERS = count(1)
#: A field, and how the refusal begins of a value that is fine by itself.
RULES = (
    ("end_date", "lies before start_date"),
    ("size", "times page goes beyond the first"),
    ("cursor", "can't be given together with page"),
    ("party_size", "can't be less than the"),
    ("_rev", "is required: the revision"),
    ("_rev", "is "),  # another than If-Match says
    ("total_amount", "is required"),  # where no trip catalog prices the trip
    ("total_amount", "Decimal input should have no more than"),  # multipleOf would refuse 0.07, as doubles divide
)


@schemathesis.hook
def before_call(_context: HookContext, case: Any, _kwargs: dict[str, Any]) -> None:
    """Give three of four valid requests a chance: a trip, a guest and a key that no earlier one took."""
    number = next(_NUMBERS)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # What Schemathesis makes in one phase of a header whose pattern has a quote.
    if str(case.headers.get("If-Match")) == "0":
        del case.headers["If-Match"]
    if number % 4:
        _make_new(case, number)


def _make_new(case: Any, number: int) -> None:
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{case.headers['Idempotency-Key'][:150]}-{number}"
    if case.operation.label == "POST /reservations" and isinstance(case.body, dict):
        new = UUID(int=number)
        case.body = {**case.body, "trip_id": str(new), "guest_id": os.environ.get(GUEST_ID) or str(new)}


@schemathesis.check
def valid_data_is_accepted(ctx: CheckContext, response: Response, case: Any) -> None:
    """Let what fits the document be refused for a rule only, and for none that the document could tell."""
    if response.status_code != 400 or not _breaks_a_rule(response):
        positive_data_acceptance(ctx, response, case)


def _breaks_a_rule(response: Response) -> bool:
    faults = response.json().get("fields", ())
    return bool(faults) and all(
        any(fault["field"] == field and fault["message"].startswith(rule) for field, rule in RULES) for fault in faults
    )
