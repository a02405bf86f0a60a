"""PostgreSQL's archiver: when it last archived WAL, and whether it fails."""

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("archiver.sql")


@dataclass(frozen=True, slots=True)
class Archiver:
    """What the archiver told; the age is that of the last WAL it archived, endless if it never did."""

    is_on: bool
    is_standby: bool
    age_s: float
    failed_count: int
    is_failing: bool


async def read(connection: "AnyConnection") -> Archiver:
    """Ask how archiving goes."""
    (row,) = await connection.fetch(SQL["read"])  # the view has one row
    told = dict(row)
    return Archiver(**{**told, "age_s": inf if told["age_s"] is None else max(0.0, told["age_s"])})


async def mark(connection: "AnyConnection") -> None:
    """Write something to be archived, so that the next look finds it archived even where nobody books."""
    await connection.execute(SQL["mark"])
