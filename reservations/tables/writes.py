"""Writes: statements that change rows, and as many of them in one round trip as can stand beside each other."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from reservations.tables.database import StaleWriteError

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

_PLACE = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Write:
    """A statement by its name and text, its arguments, and how many rows it must change."""

    name: str
    statement: str
    arguments: Sequence[object]
    rows: int


async def write_at_once(connection: "AnyConnection", writes: Iterable[Write | None]) -> None:
    """Run writes as one statement, those that are none left out; none of them sees what another does.

    Raises:
        StaleWriteError: a row that one of them must change is not there, or no longer as it was read.

    """
    some = [write for write in writes if write]
    if not some:
        return
    statement = _at_once(tuple((write.name, write.statement) for write in some))
    counts = await connection.fetchrow(statement, *chain.from_iterable(write.arguments for write in some))
    for write, count in zip(some, counts or (), strict=True):
        if count != write.rows:
            raise StaleWriteError(f"{count} of {write.rows} rows by {write.name}")


@lru_cache(maxsize=64)
def _at_once(statements: Sequence[tuple[str, str]]) -> str:
    """Return one statement that runs several, begins with their names, and counts the rows of each."""
    parts, places = [], 0
    for number, (_, statement) in enumerate(statements):
        parts.append(f"w{number} AS (\n{_moved(statement, places)}\nRETURNING 1\n)")
        places += max(int(place) for place in _PLACE.findall(statement))
    counts = ", ".join(f"(SELECT count(*) FROM w{number})" for number in range(len(statements)))  # noqa: S608
    return f"/* {' '.join(name for name, _ in statements)} */ WITH {', '.join(parts)}\nSELECT {counts}"


def _moved(statement: str, places: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + places}", statement.rstrip(";"))
