"""Rows to put into a test's database."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from reservations.models.identifiers import confirmation_code, unix_ms, uuid7
from tests.databases import Connection


def reservation_row(made_at: datetime, **changes: Any) -> dict[str, Any]:
    """Return the columns of a reservation that was made at that instant, some of them changed."""
    return {
        "reservation_id": uuid7(unix_ms(made_at)),
        "guest_id": uuid4(),
        "trip_id": uuid4(),
        "confirmation_code": confirmation_code(made_at),
        "trip_date": (made_at + timedelta(days=30)).date(),
        "party_size": 2,
        "total_amount": 100,
        "created_at": made_at,
        "updated_at": made_at,
    } | changes


async def insert(connection: Connection, table: str, row: dict[str, Any]) -> str:
    """Insert a row through its partitioned table and return the name of the partition that it went to."""
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    statement = (
        f"INSERT INTO reservations.{table} ({', '.join(row)}) VALUES ({places}) RETURNING tableoid::regclass::text"  # noqa: S608
    )
    partition: str = await connection.fetchval(statement, *row.values())
    return partition.removeprefix("reservations.")


async def insert_reservation(connection: Connection, made_at: datetime) -> UUID:
    """Insert a reservation that was made at that instant and return its id."""
    row = reservation_row(made_at)
    await insert(connection, "reservations", row)
    reservation_id: UUID = row["reservation_id"]
    return reservation_id
