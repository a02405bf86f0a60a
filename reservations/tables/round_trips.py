"""Round trips: as many statements in one as can stand beside each other, for each costs more than what it carries."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from reservations.tables.database import StaleWriteError

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

_PLACE = re.compile(r"\$(\d+)")

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
Named = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Read(Generic[A]):
    """A statement by its name and text, its arguments, and what is made of its rows, each a tuple of its columns.

    One that is not needed finds no rows, and costs nothing.
    """

    name: str
    statement: str
    arguments: Sequence[object]
    made_of: Callable[[Sequence[Any]], A]
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Write:
    """A statement by its name and text, its arguments, how many rows it must change, and the error if it does not."""

    name: str
    statement: str
    arguments: Sequence[object]
    rows: int
    error: type[StaleWriteError] = StaleWriteError


@overload
async def read_at_once(connection: "AnyConnection", a: Read[A], /) -> tuple[A]: ...
@overload
async def read_at_once(connection: "AnyConnection", a: Read[A], b: Read[B], /) -> tuple[A, B]: ...
@overload
async def read_at_once(
    connection: "AnyConnection", a: Read[A], b: Read[B], c: Read[C], d: Read[D], /
) -> tuple[A, B, C, D]: ...
async def read_at_once(connection: "AnyConnection", *reads: Read[Any]) -> tuple[Any, ...]:
    """Run reads as one statement, and return what is made of each one's rows.

    They see the same moment; those that lock do so in their order.
    """
    needed = [read for read in reads if read.is_needed]
    found = iter(await _fetch_row(connection, _reading, needed))
    return tuple(read.made_of(next(found) if read.is_needed else ()) for read in reads)


async def write_at_once(connection: "AnyConnection", writes: Iterable[Write | None]) -> None:
    """Run writes as one statement, those that are none left out; none of them sees what another does.

    What they wait for, they wait for in their order.

    Raises:
        StaleWriteError: a row that one of them must change is not there, or no longer as it was read.

    """
    some = [write for write in writes if write]
    for write, count in zip(some, await _fetch_row(connection, _writing, some), strict=True):
        if count != write.rows:
            raise write.error(f"{count} of {write.rows} rows by {write.name}")


async def _fetch_row(
    connection: "AnyConnection", statement_of: Callable[[Named], str], each: Sequence[Read[Any] | Write]
) -> Sequence[Any]:
    if not each:
        return ()
    statement = statement_of(tuple((one.name, one.statement) for one in each))
    (row,) = await connection.fetch(statement, *chain.from_iterable(one.arguments for one in each))
    return tuple(row)


# PostgreSQL computes the columns of a row without a table in their order, and each subquery when its column needs it.


@lru_cache(maxsize=64)
def _reading(statements: Named) -> str:
    """Return one statement whose columns are the rows of several; it begins with their names."""
    columns = ", ".join(f"ARRAY (SELECT found FROM (\n{each}\n) AS found)" for each in _placed(statements))  # noqa: S608
    return f"{_names(statements)} SELECT {columns}"


@lru_cache(maxsize=64)
def _writing(statements: Named) -> str:
    """Return one statement that runs several and counts the rows of each; it begins with their names."""
    parts = ", ".join(f"w{number} AS (\n{each}\nRETURNING 1\n)" for number, each in enumerate(_placed(statements)))
    counts = ", ".join(f"(SELECT count(*) FROM w{number})" for number in range(len(statements)))  # noqa: S608
    return f"{_names(statements)} WITH {parts}\nSELECT {counts}"


def _names(statements: Named) -> str:
    return f"/* {' '.join(name for name, _ in statements)} */"


def _placed(statements: Named) -> Iterable[str]:
    """Return the statements, each with the places of its arguments behind those of the ones before it."""
    places = 0
    for _, statement in statements:
        yield _moved(statement, places)
        places += max(int(place) for place in _PLACE.findall(statement))


def _moved(statement: str, places: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + places}", statement.rstrip(";"))
