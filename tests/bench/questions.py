"""What readers ask, drawn from the reservations that are there: every kind of search, each under a name."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from reservations.models.identifiers import uuid7
from tests.databases import Connection

Row = Mapping[str, Any]
Question = Callable[[Row], str]
SAMPLE = """
SELECT found.* FROM unnest($1::uuid[]) AS start
CROSS JOIN LATERAL (SELECT reservation_id, guest_id, trip_id, upper(status) AS status, trip_date, party_size,
                           confirmation_code
                    FROM reservations.reservations WHERE reservation_id >= start
                    ORDER BY reservation_id LIMIT 1) AS found"""
ENDS = """
SELECT (SELECT reservation_id FROM reservations.reservations ORDER BY reservation_id LIMIT 1) AS oldest,
       (SELECT reservation_id FROM reservations.reservations ORDER BY reservation_id DESC LIMIT 1) AS newest"""
#: The twenty who booked most: those of a trip agent's kind.
BUSY = """
SELECT guest_id FROM reservations.reservations TABLESAMPLE SYSTEM (0.1) REPEATABLE (1)
GROUP BY guest_id ORDER BY count(*) DESC LIMIT 20"""
ABSENT_SIZE = 400
DEEP = {"page": 499, "size": 20}
WEEK, MONTH, YEAR = timedelta(days=6), timedelta(days=30), timedelta(days=365)


async def sample(connection: Connection, count: int, seed: int) -> Sequence[Row]:
    """Return reservations, drawn evenly over the time in which they were made."""
    chance = random.Random(seed)  # noqa: S311
    ends = await connection.fetchrow(ENDS)
    assert ends is not None, "a row without FROM is always there"
    low, high = (ends[name].int >> 80 for name in ("oldest", "newest"))
    starts = sorted(uuid7(chance.randint(low, high), bytes) for _ in range(count))
    rows = [dict(row) for row in await connection.fetch(SAMPLE, starts)]
    chance.shuffle(rows)
    return rows


async def busy_guests(connection: Connection) -> Sequence[str]:
    """Return guests with many reservations."""
    return [str(row["guest_id"]) for row in await connection.fetch(BUSY)]


def by_id(row: Row) -> str:
    """Ask for one reservation."""
    return f"/reservations/{row['reservation_id']}"


def searching(**query: Any) -> Question:
    """Return a question with this query; a function is given the reservation that it is drawn from."""

    def ask(row: Row) -> str:
        asked = {name: value(row) if callable(value) else value for name, value in query.items()}
        return f"/reservations?{urlencode(asked)}"

    return ask


def of(name: str) -> Callable[[Row], Any]:
    """Return what takes a column of the reservation."""
    return lambda row: row[name]


def days_after(span: timedelta) -> Callable[[Row], date]:
    """Return what takes the day so long after the trip's."""
    day: Callable[[Row], date] = lambda row: row["trip_date"] + span  # noqa: E731
    return day


def questions(today: date, busy: Sequence[str]) -> Mapping[str, Question]:
    """Return all questions by name."""
    day, week, month = of("trip_date"), days_after(WEEK), days_after(MONTH)
    coming = {"start_date": today, "end_date": today + WEEK}
    past_year = {"start_date": date(today.year - 4, 1, 1), "end_date": date(today.year - 4, 12, 31)}
    return {
        "by id": by_id,
        "by id, with history": lambda row: by_id(row) + "?include=status_history",
        "participants": lambda row: by_id(row) + "/participants",
        "newest": searching(),
        "newest, cursor": searching(cursor=of("reservation_id")),
        "newest, deep": searching(**DEEP),
        "guest": searching(guest_id=of("guest_id")),
        "guest with many": searching(guest_id=lambda row: busy[row["reservation_id"].int % len(busy)]),
        "guest, status, week": searching(guest_id=of("guest_id"), status=of("status"), start_date=day, end_date=week),
        "guest unknown": searching(guest_id=of("reservation_id")),
        "trip": searching(trip_id=of("trip_id")),
        "trip, deep": searching(trip_id=of("trip_id"), page=100, size=20),
        "trip, cursor": searching(trip_id=of("trip_id"), cursor=of("reservation_id")),
        "trip, month": searching(trip_id=of("trip_id"), start_date=day, end_date=month),
        "trip, status": searching(trip_id=of("trip_id"), status="CANCELLED"),
        "trip, party size": searching(trip_id=of("trip_id"), party_size=of("party_size")),
        "status common": searching(status="COMPLETED"),
        "status common, deep": searching(status="COMPLETED", **DEEP),
        "status common, cursor": searching(status="COMPLETED", cursor=of("reservation_id")),
        "status 3 %": searching(status="CANCELLED"),
        "status 3 %, deep": searching(status="CANCELLED", **DEEP),
        "status rare": searching(status="PENDING"),
        "status rare, cursor": searching(status="PENDING", cursor=of("reservation_id")),
        "week": searching(start_date=day, end_date=week),
        "week, cursor": searching(start_date=day, end_date=week, cursor=of("reservation_id")),
        "coming week": searching(**coming),
        "month": searching(start_date=day, end_date=month),
        "month, deep": searching(start_date=day, end_date=month, **DEEP),
        "year, past": searching(**past_year),
        "from a day on": searching(start_date=day),
        "up to a day": searching(end_date=day),
        "party size": searching(party_size=of("party_size")),
        "party size, deep": searching(party_size=2, **DEEP),
        "party size rare": searching(party_size=20),
        "party size absent": searching(party_size=ABSENT_SIZE),
        "party size, status": searching(party_size=of("party_size"), status="CANCELLED"),
        "party size, status rare": searching(party_size=20, status="PENDING"),
        "party size, week": searching(party_size=of("party_size"), start_date=day, end_date=week),
        "status, coming week": searching(status="CONFIRMED", **coming),
        "status, week": searching(status="CANCELLED", start_date=day, end_date=week),
        "status, past year": searching(status="NO_SHOW", **past_year),
        "status never in those days": searching(status="COMPLETED", start_date=today + WEEK),
        "confirmed, day gone by": searching(status="CONFIRMED", end_date=today - WEEK),
        "status, party size, week": searching(
            status=of("status"), party_size=of("party_size"), start_date=day, end_date=week
        ),
        "confirmation code": searching(confirmation_code=of("confirmation_code")),
        "code, day and size": searching(
            confirmation_code=of("confirmation_code"), start_date=day, end_date=day, party_size=of("party_size")
        ),
        "code unknown": searching(confirmation_code="ZZZZZZZZZZZZ"),
    }
