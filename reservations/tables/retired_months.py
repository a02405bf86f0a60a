"""Months that leave the service, and come back: statements about tables that are named after a month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("retired_months.sql")
#: The tables of a month with their keys, each after those it refers to.
KEYS = {"reservations": "reservation_id", "participants": "participant_id", "status_history": "history_id"}


@dataclass(frozen=True, slots=True)
class Holding:
    """What keeps a month from being retired: counts of reservations and of payments that wait for one."""

    open: int
    ahead: int
    waiting: int


@dataclass(frozen=True, slots=True)
class MonthSize:
    """How large a month is; rows are reservations, estimated unless counted, None before the first estimate."""

    month: date
    attached: bool
    size_bytes: int
    rows: int | None
    first_id: UUID | None = None
    last_id: UUID | None = None


def suffix(month: date) -> str:
    """Return how the tables of a month end."""
    return f"{month:%Y_%m}"


async def oldest(connection: "AnyConnection") -> date | None:
    """Return the oldest month that is there."""
    month: date | None = await connection.fetchval(SQL["oldest"])
    return month


async def detached(connection: "AnyConnection") -> list[date]:
    """Return the months that were detached and not dropped."""
    return [row["month"] for row in await connection.fetch(SQL["detached"])]


async def holding(connection: "AnyConnection", month: date, today: date) -> Holding:
    """Return what keeps a month from being retired."""
    starts_at = datetime(month.year, month.month, 1, tzinfo=UTC)
    (row,) = await connection.fetch(SQL["holding"].format(month=suffix(month)), today, starts_at)
    return Holding(**row)


async def hold_still(connection: "AnyConnection", month: date) -> None:
    """Let nobody change a month until the transaction ends; it can be read."""
    await connection.execute(SQL["hold_still"].format(month=suffix(month)))


async def detach(connection: "AnyConnection", month: date) -> None:
    """Take a month's tables from among those that can be read. Needs a lock on all, for a moment."""
    await connection.execute(SQL["detach"].format(month=suffix(month)))


async def drop(connection: "AnyConnection", month: date) -> None:
    """Drop a month's tables, which must be detached."""
    await connection.execute(SQL["drop"].format(month=suffix(month)))


async def columns(connection: "AnyConnection", table: str) -> list[str]:
    """Return the columns of a table, in their order."""
    found: list[str] = await connection.fetchval(SQL["columns"], f"reservations.{table}")
    return found


def rows_in_order(table: str, month: date, names: Sequence[str]) -> str:
    """Return the statement that reads these columns of a month's table, by its key."""
    listed = ", ".join(f'"{name}"' for name in names)
    return SQL["rows_in_order"].format(columns=listed, table=f"{table}_{suffix(month)}", key=KEYS[table]).rstrip(";")


async def sizes(connection: "AnyConnection", *, count: bool) -> list[MonthSize]:
    """Return how large each month is; with count, the reservations are counted, which reads them all."""
    found = []
    for row in await connection.fetch(SQL["sizes"]):
        month = suffix(row["month"])
        ids = await connection.fetchrow(SQL["ids"].format(month=month))
        estimate = row["rows"] if ids and ids["first_id"] else 0
        rows = await connection.fetchval(SQL["count"].format(month=month)) if count else estimate
        found.append(MonthSize(**{**row, **(ids or {}), "rows": rows}))
    return found
