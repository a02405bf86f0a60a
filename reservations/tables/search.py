"""Searching reservations, newest first: by pages that are counted, or by a cursor that counts nothing.

Common matches lie among the newest rows, rare ones are all fetched and sorted. What is neither is looked for in windows
of time, from the present backwards. A window is never left with a match unseen, so where its bounds lie decides how
long a search takes, not what it finds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.models.acting import ActingFor
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
#: Counting goes no further.
MOST_COUNTED = 10_001
#: So many matches in all are fetched at once; more are looked for in windows.
FEW = 1_000
#: A window with so many matches more than are wanted is divided.
GATHERED = 1_000
PARTS = 8
DAY_MS = 86_400_000
FIRST_WINDOW_MS = 31 * DAY_MS
LONGEST_WINDOW_MS = 64 * FIRST_WINDOW_MS
SHORTEST_WINDOW_MS = 60_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What a reservation must match; None matches all. Dates are inclusive, on the trip date.

    `acting_for` says whose reservations are there at all, whatever the others ask for.
    """

    guest_id: UUID | None = None
    trip_id: UUID | None = None
    status: Status | None = None
    start_date: date | None = None
    end_date: date | None = None
    confirmation_code: str | None = None
    party_size: int | None = None
    acting_for: ActingFor | None = None

    def values(self) -> dict[str, object]:
        """Return the arguments by the names of their conditions."""
        named = {
            "own_guest_id": self.acting_for and self.acting_for.guest_id,
            "own_partner_id": self.acting_for and self.acting_for.partner_id,
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
        """Whether an index leads to few reservations, which must be looked at to tell what matches."""
        of_a_trip = self.trip_id and (self.status or self.party_size is not None)
        of_a_guest = self.guest_id or (self.acting_for and self.acting_for.guest_id)
        return bool(of_a_guest or self.confirmation_code is not None or of_a_trip)

    def _statuses(self) -> list[str] | None:
        """Return the status; all of them where that makes an index that begins with it serve the other filters."""
        if self.status:
            return [stored(self.status)]
        ranged = self.start_date or self.end_date or self.party_size is not None
        found_otherwise = self.acting_for or self.guest_id or self.trip_id or self.confirmation_code is not None
        return [stored(status) for status in Status] if ranged and not found_otherwise else None


@dataclass(frozen=True, slots=True)
class Window:
    """The reservations with ids from one up to another, the latter excluded."""

    since: UUID
    before: UUID

    def parts(self, latest_ms: int) -> "Sequence[Window]":
        """Divide it, newest first; into nothing when it is as short as windows get. Ids after the latest lie in one."""
        since_ms = self.since.int >> 80
        length_ms = min(self.before.int >> 80, latest_ms) - since_ms
        if length_ms < SHORTEST_WINDOW_MS:
            return ()
        inner = [_lowest_of(since_ms + length_ms * part // PARTS) for part in range(PARTS - 1, 0, -1)]
        return [Window(*each) for each in zip((*inner, self.since), (self.before, *inner), strict=True)]


def windows(before: UUID, latest_ms: int) -> Iterator[Window]:
    """Divide the time before an id into windows, newest first: what is after the latest millisecond, a month, more."""
    edge, length_ms = before, FIRST_WINDOW_MS
    since_ms = min(before.int >> 80, latest_ms)
    while since_ms > 0 and length_ms <= LONGEST_WINDOW_MS:
        since = _lowest_of(since_ms)
        if since < edge:
            yield Window(since, edge)
            edge = since
        since_ms, length_ms = since_ms - length_ms, length_ms * 2
    yield Window(LOWEST, edge)


@dataclass(slots=True)
class Stretch:
    """A stretch of the matches, newest first: how many to pass over, how many are wanted after them, what was found."""

    skip: int
    wanted: int
    seen: int = 0
    ids: list[UUID] = field(default_factory=list)
    total: int | None = None
    """How many match in all, whatever the cursor, when it came to light."""

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
        edge = before or BEYOND
        if self.filters.are_narrow:
            await self._gather_all(stretch, edge)
        elif not self.filters.values():
            stretch.ids = await self._glance(Window(LOWEST, edge), stretch, skip + wanted)
        elif not await self._is_full_at_a_glance(stretch, edge):
            stretch.total = await self.count(at_most=MOST_COUNTED)
            if 0 < stretch.total <= FEW:
                await self._gather_all(stretch, edge)
            elif stretch.total:
                await self._look_back(stretch, edge)
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

    async def _is_full_at_a_glance(self, stretch: Stretch, edge: UUID) -> bool:
        month = Window(_lowest_of(max(0, min(edge.int >> 80, _now_ms()) - FIRST_WINDOW_MS)), edge)
        ids = await self._glance(month, stretch, max(GLANCED, stretch.skip + stretch.wanted))
        if len(ids) == stretch.wanted:
            stretch.ids = ids
        return stretch.is_full

    async def _look_back(self, stretch: Stretch, edge: UUID) -> None:
        latest_ms = self._latest_ms()
        backwards = list(windows(edge, latest_ms))
        while backwards and not stretch.is_full:
            window = backwards.pop(0)
            parts = window.parts(latest_ms)
            most = GATHERED + sum(stretch.left) if parts else None
            if not await self._take_in(window, stretch, most):
                backwards[:0] = parts

    def _latest_ms(self) -> int:
        """Return after which millisecond hardly any match was made: they are made before their trip."""
        last_day = self.filters.end_date
        over = datetime.combine(last_day, time.max, UTC) if last_day else None
        return min(_now_ms(), unix_ms(over)) if over else _now_ms()

    async def _gather_all(self, stretch: Stretch, edge: UUID) -> None:
        stretch.total, stretch.ids = await self._gather(None, stretch, edge, at_most=None)

    async def _take_in(self, window: Window, stretch: Stretch, at_most: int | None) -> bool:
        """Take in a window, unless it has more matches than at_most; tell whether it was taken in."""
        limit = None if at_most is None else at_most + 1
        matches, ids = await self._gather(window, stretch, window.before, limit)
        if at_most is not None and matches > at_most:
            return False
        stretch.take(matches, ids)
        return True

    async def _gather(
        self, window: Window | None, stretch: Stretch, edge: UUID, at_most: int | None
    ) -> tuple[int, list[UUID]]:
        """Return how many match in a window, or anywhere, and what of them is left to find before an id."""
        skip, wanted = stretch.left
        statement = self.shaped("gather", window, before=edge, skip=skip, wanted=wanted, at_most=at_most)
        row = await self.connection.fetchrow(statement.sql, *statement.arguments)
        return (row["matches"], row["newest"]) if row else (0, [])

    async def _glance(self, window: Window, stretch: Stretch, looked_at: int) -> list[UUID]:
        skip, wanted = stretch.left
        statement = self.shaped("glance", window, looked_at=looked_at, skip=skip, wanted=wanted)
        rows = await self.connection.fetch(statement.sql, *statement.arguments)
        return [row["reservation_id"] for row in rows]

    def shaped(self, name: str, window: Window | None = None, **others: object) -> Shaped:
        """Return a statement for these filters."""
        values = self.filters.values()
        bounds = {"since": window.since, "before": window.before} if window else {}
        return SHAPES.shaped(name, {**values, **bounds, **others}, window=bounds, filters=values)


def _now_ms() -> int:
    return unix_ms(datetime.now(UTC))


def _lowest_of(millisecond: int) -> UUID:
    return UUID(int=millisecond << 80)
