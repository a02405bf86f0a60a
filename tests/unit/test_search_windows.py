"""Windows of time cover everything before an id, once, newest first."""

from itertools import pairwise
from uuid import UUID

import pytest

from reservations.models.identifiers import kin_range, uuid7
from reservations.tables.search import BEYOND, LOWEST, PARTS, Window, windows
from reservations.tables.shapes import Shapes

NOW_MS = 1_790_000_000_000
EDGES = [BEYOND, LOWEST, UUID(int=1), UUID(int=1 << 80), uuid7(NOW_MS), uuid7(NOW_MS - 10**9), uuid7(NOW_MS + 10**9)]


def adjoin(found: list[Window]) -> bool:
    """Tell whether each window begins where the next older one ends."""
    return all(newer.since == older.before for newer, older in pairwise(found))


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("latest_ms", [NOW_MS, NOW_MS - 10**11, 0, -(10**12)])
def test_windows_cover_all_time_before_an_id_without_a_gap(edge: UUID, latest_ms: int) -> None:
    found = list(windows(edge, latest_ms))
    assert (found[0].before, found[-1].since) == (edge, LOWEST)
    assert adjoin(found)


@pytest.mark.parametrize(
    "window", [Window(LOWEST, BEYOND), Window(kin_range(uuid7(NOW_MS - 10**9), BEYOND)[0], BEYOND)]
)
def test_parts_cover_their_window_without_a_gap(window: Window) -> None:
    parts = list(window.parts(NOW_MS))
    assert len(parts) == PARTS
    assert (parts[0].before, parts[-1].since) == (window.before, window.since)
    assert adjoin(parts)
    assert all(part.since < part.before for part in parts)


def test_a_short_window_and_one_of_the_future_are_not_divided() -> None:
    low = kin_range(uuid7(NOW_MS), BEYOND)[0]
    assert list(Window(low, BEYOND).parts(NOW_MS)) == []
    assert list(Window(low, uuid7(NOW_MS + 1_000)).parts(NOW_MS + 10**9)) == []


def test_a_statement_is_put_together_of_its_conditions_and_numbers_its_parameters() -> None:
    shapes = Shapes({"all": "WHERE {filters} LIMIT {limit}", "a": "a = {a}", "b": "b < {b} OR b > {a}"})
    made = shapes.shaped("all", {"a": 1, "b": 2, "limit": 3}, filters=["b", "a"])
    assert (made.sql, made.arguments) == ("WHERE b < $1 OR b > $2 AND a = $2 LIMIT $3", (2, 1, 3))
    assert shapes.shaped("all", {"limit": 3}, filters=[]).sql == "WHERE true LIMIT $1"
