"""A search finds what a look at every reservation finds, in the same order, however its windows fall."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reservations.models.vocabulary import Status
from reservations.tables import search
from reservations.tables.database import READER
from reservations.tables.search import Filters, Search
from tests.databases import Connection

NAMES = ("guest_id", "trip_id", "status", "start_date", "end_date", "confirmation_code", "party_size")
SHAPES = [shape for count in range(len(NAMES) + 1) for shape in combinations(NAMES, count)]
ROWS = "SELECT reservation_id, guest_id, trip_id, upper(status) AS status, trip_date, confirmation_code, party_size "
Row = dict[str, Any]


@pytest.fixture(scope="module")
async def reader(grown: str) -> AsyncIterator[Connection]:
    """Give a connection as the gateway has it."""
    connection = await asyncpg.connect(grown, server_settings=dict(READER))
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def everything(reader: Connection) -> list[Row]:
    """Give all reservations, newest first."""
    rows = await reader.fetch(ROWS + "FROM reservations.reservations ORDER BY reservation_id DESC")
    return [dict(row) for row in rows]


def expected(everything: Sequence[Row], filters: Filters) -> list[UUID]:
    """Return the ids of what matches, by looking at each."""

    def matches(row: Row) -> bool:
        named = ("guest_id", "trip_id", "status", "confirmation_code", "party_size")
        return all(getattr(filters, name) in {None, row[name]} for name in named) and (
            filters.start_date or date.min
        ) <= row["trip_date"] <= (filters.end_date or date.max)

    return [row["reservation_id"] for row in everything if matches(row)]


def filters_like(row: Row, shape: Sequence[str], chance: random.Random) -> Filters:
    """Return filters of this shape that a reservation, or one almost like it, matches."""
    around = {
        "start_date": row["trip_date"] - timedelta(days=chance.choice((0, 3, 60, 600))),
        "end_date": row["trip_date"] + timedelta(days=chance.choice((0, 3, 60, 600))),
        "status": chance.choice((Status(row["status"]), Status.CANCELLED, Status.PENDING)),
    }
    return Filters(**{name: around.get(name, row.get(name)) for name in shape})


@pytest.mark.parametrize("few", [False, True], ids=["usual limits", "windows divided all the time"])
async def test_every_combination_of_filters_finds_what_a_look_at_each_reservation_finds(
    reader: Connection, everything: list[Row], monkeypatch: pytest.MonkeyPatch, *, few: bool
) -> None:
    if few:
        monkeypatch.setattr(search, "GLANCED", 3)
        monkeypatch.setattr(search, "FEW", 4)
        monkeypatch.setattr(search, "GATHERED", 2)
    chance = random.Random(11)  # noqa: S311
    for shape in SHAPES:
        filters = filters_like(chance.choice(everything), shape, chance)
        wanted = expected(everything, filters)
        found = Search(reader, filters)
        assert await found.count(at_most=10_001) == min(len(wanted), 10_001), filters
        for skip in (0, 7, max(0, len(wanted) - 3), len(wanted) + 5):
            stretch = await found.newest(21, skip=skip)
            assert stretch.ids == wanted[skip : skip + 21], (filters, skip)
            assert stretch.total in {None, len(wanted), min(len(wanted), search.MOST_COUNTED)}, filters


async def test_a_cursor_goes_through_all_matches_once(reader: Connection, everything: list[Row]) -> None:
    filters = Filters(status=Status.CANCELLED)
    found, seen, before = Search(reader, filters), list[UUID](), None
    while ids := (await found.newest(100, before=before)).ids:
        seen += ids
        before = ids[-1]
    assert seen == expected(everything, filters)


async def test_any_id_is_a_cursor(reader: Connection, everything: list[Row]) -> None:
    filters = Filters(party_size=2)
    newest = expected(everything, filters)[:5]
    for cursor, found in ((UUID(int=0), []), (UUID(int=1 << 80), []), (UUID(int=2**128 - 1), newest)):
        assert (await Search(reader, filters).newest(5, before=cursor)).ids == found


async def test_rows_come_newest_first_each_with_its_party_in_order(reader: Connection, everything: list[Row]) -> None:
    ids = [row["reservation_id"] for row in everything[::1500]]
    rows = await Search(reader, Filters()).rows(ids)
    assert [UUID(row["reservation_id"]) for row in rows] == ids
    query = (
        "SELECT participant_id::text FROM reservations.participants WHERE reservation_id = $1 ORDER BY participant_id"
    )
    for row in rows:
        party = await reader.fetch(query, UUID(row["reservation_id"]))
        assert [each[0] for each in row["party"]] == [each["participant_id"] for each in party] != []
