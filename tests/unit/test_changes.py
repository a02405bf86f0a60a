"""What is refused of a change is told once, under the name of its field."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from reservations.models.commands import ReservationChanges
from reservations.models.errors import unreadable


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("party_size", "x"),
        ("party_size", 2.5),
        ("party_size", 0),
        ("party_size", None),
        ("total_amount", "1"),
        ("total_amount", 57093928.957),
        ("total_amount", None),
        ("trip_date", "1999-12-31"),
        ("trip_date", 5),
        ("trip_date", None),
    ],
)
def test_a_wrong_value_is_named_by_its_field_and_nothing_else(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        ReservationChanges.model_validate_json(orjson.dumps({field: value}))
    named = [fault["field"] for fault in unreadable(caught.value).details["fields"]]
    assert named == [field]


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    assert ReservationChanges.model_validate_json(b'{"party_size": 3.0}').changes() == {"party_size": 3}


def test_what_is_left_out_is_no_change() -> None:
    assert ReservationChanges.model_validate_json(b"{}").changes() == {}
