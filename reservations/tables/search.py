"""Searching reservations, newest first: by pages that are counted, or by a cursor that counts nothing.

The newest matches are looked for in windows of time, from now backwards. A window is never left with a match unseen, so
where its bounds lie decides how long a search takes, not what it finds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.identifiers import kin_range, unix_ms
from reservations.models.vocabulary import Status, stored
from reservations.tables.shapes import Shaped, Shapes
from reservations.tables.statements import load

if TYPE_CHECKING:
    from asyncpg import Record

    from reservations.tables.database import AnyConnection

SQL = load("search.sql")
SHAPES = Shapes(SQL)
LOWEST, BEYOND = UUID(int=0), UUID(int=2**128 - 1)
#: Rows looked at one by one before an index is asked.
GLANCED = 2_000
#: A window with more matches than this, and than are wanted, is halved.
GATHERED = 1_000
FIRST_WINDOW_MS = 31 * 86_400_000
LONGEST_WINDOW_MS = 128 * FIRST_WINDOW_MS
SHORTEST_WINDOW_MS = 60_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What a reservation must match; None matches all. Dates are inclusive, on the trip date."""

    guest_id: UUID | None = None
    trip_id: UUID | None = None
    status: Status | None = None
    start_date: date | None = None
    end_date: date | None = None
    confirmation_code: str | None = None
    party_size: int | None = None

    def values(self) -> dict[str, object]:
        """Return the arguments by the names of their conditions."""
        named = {
            "guest_id": self.guest_id,
            "trip_id": self.trip_id,
            "statuses": self._statuses(),
            "start_date": self.start_date,
            "end_date": self.end_date,
            "confirmation_code": self.confirmation_code,
            "party_size": self.party_size,
        }
        return {name: value for name, value in named.items() if value is not None}

    @property
    def are_narrow(self) -> bool:
        """Whether few reservations can match, wherever they lie in time."""
        return self.guest_id is not None or self.confirmation_code is not None

    def _statuses(self) -> list[str] | None:
        """Return the status; all of them where that makes an index that begins with it serve the other filters."""
        if self.status:
            return [stored(self.status)]
        ranged = self.start_date or self.end_date or self.party_size is not None
        found_otherwise = self.guest_id or self.trip_id or self.confirmation_code is not None
        return [stored(status) for status in Status] if ranged and not found_otherwise else None


@dataclass(frozen=True, slots=True)
class Window:
    """The reservations with ids from one up to another, the latter excluded."""

    since: UUID
    before: UUID

    def halves(self) -> "Sequence[Window]":
        """Return the newer and the older half; nothing when it is as short as windows get."""
        since_ms, before_ms = self.since.int >> 80, self.before.int >> 80
        if before_ms - since_ms < SHORTEST_WINDOW_MS:
            return ()
        middle = _lowest_of((since_ms + before_ms) // 2)
        return Window(middle, self.before), Window(self.since, middle)


def windows(before: UUID | None, now: datetime) -> Iterator[Window]:
    """Divide the time before an id (or all time) into windows, newest first, each as long as all before together."""
    edge = before or BEYOND
    newest_ms, length_ms = min(edge.int >> 80, unix_ms(now)), FIRST_WINDOW_MS
    while newest_ms > length_ms and length_ms < LONGEST_WINDOW_MS:
        since = _lowest_of(newest_ms - length_ms)
        yield Window(since, edge)
        edge, length_ms = since, length_ms * 2
    yield Window(LOWEST, edge)


@dataclass(slots=True)
class Stretch:
    """A stretch of the matches, newest first: how many to pass over, how many are wanted after them, what was found."""

    skip: int
    wanted: int
    seen: int = 0
    ids: list[UUID] = field(default_factory=list)
    total: int | None = None
    """How many match in all, when it came to light."""

    @property
    def is_full(self) -> bool:
        """Whether all that was wanted is there."""
        return len(self.ids) == self.wanted

    @property
    def left(self) -> tuple[int, int]:
        """How many matches to pass over yet, and how many are wanted after them."""
        return max(0, self.skip - self.seen), self.wanted - len(self.ids)

    def take(self, matches: int, ids: Sequence[UUID]) -> None:
        """Take in a window of which all matches were seen."""
        self.seen += matches
        self.ids += ids


@dataclass(frozen=True, slots=True)
class Search:
    """One search on a connection, in a transaction whose statements all see the same."""

    connection: "AnyConnection"
    filters: Filters

    async def newest(self, wanted: int, *, skip: int = 0, before: UUID | None = None) -> Stretch:
        """Return the newest reservations that match, after so many, at most so many; fewer where the matches end."""
        stretch = Stretch(skip, wanted)
        everything = Window(LOWEST, before or BEYOND)
        if self.filters.are_narrow:
            await self._gather(everything, stretch, at_most=None)
            stretch.total = stretch.seen
        elif not self.filters.values():
            stretch.ids = await self._glance(everything, stretch, skip + wanted)
        else:
            await self._look_back(stretch, before)
        return stretch

    async def count(self, at_most: int) -> int:
        """Return how many reservations match, counting no further than at_most."""
        statement = self.shaped("count", at_most=at_most)
        found: int = await self.connection.fetchval(statement.sql, *statement.arguments)
        return found

    async def rows(self, ids: Sequence[UUID]) -> "Sequence[Record]":
        """Return the reservations with these ids, newest first, each with its party."""
        if not ids:
            return ()
        kin = [kin_range(each, each) for each in ids]
        lows, highs = [low for low, _ in kin], [high for _, high in kin]
        return await self.connection.fetch(SQL["rows"], ids, lows, highs, min(lows), max(highs))

    async def _look_back(self, stretch: Stretch, before: UUID | None) -> None:
        backwards = list(windows(before, datetime.now(UTC)))
        glanced = await self._glance(backwards[0], stretch, max(GLANCED, stretch.skip + stretch.wanted))
        if len(glanced) == stretch.wanted:
            stretch.ids = glanced
        while backwards and not stretch.is_full:
            window = backwards.pop(0)
            halves = window.halves()
            most = max(GATHERED, sum(stretch.left)) if halves else None
            if not await self._gather(window, stretch, at_most=most):
                backwards[:0] = halves
        if not backwards:
            stretch.total = stretch.seen

    async def _gather(self, window: Window, stretch: Stretch, at_most: int | None) -> bool:
        """Take in a window, unless it has more matches than at_most; tell whether it was taken in."""
        skip, wanted = stretch.left
        limit = None if at_most is None else at_most + 1
        statement = self.shaped("gather", window, skip=skip, wanted=wanted, at_most=limit)
        row = await self.connection.fetchrow(statement.sql, *statement.arguments)
        matches, newest = row or (0, [])
        if at_most is not None and matches > at_most:
            return False
        stretch.take(matches, newest)
        return True

    async def _glance(self, window: Window, stretch: Stretch, looked_at: int) -> list[UUID]:
        skip, wanted = stretch.left
        statement = self.shaped("glance", window, looked_at=looked_at, skip=skip, wanted=wanted)
        rows = await self.connection.fetch(statement.sql, *statement.arguments)
        return [row["reservation_id"] for row in rows]

    def shaped(self, name: str, window: Window | None = None, **limits: int | None) -> Shaped:
        """Return a statement for these filters."""
        values = self.filters.values()
        bounds = {"since": window.since, "before": window.before} if window else {}
        return SHAPES.shaped(name, {**values, **bounds, **limits}, window=bounds, filters=values)


def _lowest_of(millisecond: int) -> UUID:
    return UUID(int=millisecond << 80)
