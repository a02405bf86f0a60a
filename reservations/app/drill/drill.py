"""The drill, step by step: book, back up, note a moment, book on, lose the server, restore, prove, book again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from reservations.app.drill.ground import Ground, a_ground
from reservations.app.drill.ledger import Answered, Ledger
from reservations.app.drill.load import Bookers, a_booking, an_engine, open_pool, perform
from reservations.app.drill.proof import SQL, differences
from reservations.app.drill.report import Report
from reservations.app.drill.resending import resend
from reservations.app.stack.programs import StackError
from reservations.migrations.runner import migrate
from reservations.tables import archiver

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool

ARCHIVE_LIMIT_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True)
class Plan:
    """How much is booked: `seconds` is shared by the times before the backup, after it, and after the moment."""

    bookings_per_second: float = 50
    seconds: float = 9
    keep: Path | None = None


class Drill:
    """One drill. What it found and measured is in its report."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._ledger = Ledger()
        self._bookers = Bookers(self._ledger, plan.bookings_per_second)
        self._destroyed = 0.0
        self.report = Report()

    async def run(self) -> Report:
        """Play it through; return its report."""
        async with a_ground(self._plan.keep) as ground:
            self._say(f"A server that archives, in {ground.root}")
            await ground.create()
            await migrate(ground.dsn)
            moment, restored = await self._book_and_back_up(ground)
            lost = self._ledger.answered[restored:]
            await self._lose_and_restore(ground, moment)
            await self._prove(ground, moment, self._ledger.answered[:restored], lost)
        return self.report

    async def _book_and_back_up(self, ground: Ground) -> tuple[datetime, int]:
        """Book until the server is lost; return the moment to restore to, and how much was answered by then."""
        pool, third_s = await open_pool(ground.dsn), self._plan.seconds / 3
        engine = await an_engine(pool)
        try:
            self._bookers.start(engine)
            await self._bookers.during(third_s)
            await self._back_up(ground)
            await self._bookers.during(third_s)
            await self._bookers.stop()
            moment, restored = await self._ask(pool, "now"), len(self._ledger.answered)
            self._bookers.start(engine)
            await self._bookers.during(third_s)
            await self._until_archived(pool)
            self.report.database_bytes = await self._ask(pool, "size")
            self._say(f"Losing the server under load; to be restored to {moment.isoformat()}")
            self._destroyed = monotonic()
            await ground.destroy()
            return moment, restored
        finally:
            await self._bookers.abandon()
            pool.terminate()

    async def _back_up(self, ground: Ground) -> None:
        self._say("A full backup under load")
        start = monotonic()
        await ground.back("--type=full", "backup")
        self.report.backup_s = monotonic() - start
        backups = await ground.backups()
        self.report.backup_bytes = backups.size_bytes
        if backups.problem:
            self.report.differences.append(f"pgBackRest: {backups.problem}")

    async def _until_archived(self, pool: "AnyPool") -> None:
        """Go on until all WAL up to now is archived, whether because segments are full or of archive_timeout."""
        segment, deadline = await self._ask(pool, "segment"), monotonic() + ARCHIVE_LIMIT_S
        while await self._ask(pool, "archived") < segment:
            if monotonic() > deadline:
                raise StackError(f"{segment} was not archived within {ARCHIVE_LIMIT_S:.0f} s.")
            await self._bookers.during(POLL_S)
        self.report.timeline = _timeline(segment)

    async def _lose_and_restore(self, ground: Ground, moment: datetime) -> None:
        start = monotonic()
        await ground.restore(self.target(moment))
        self.report.restore_s = monotonic() - start
        await ground.start()
        self.report.replay_s = monotonic() - start - self.report.restore_s
        await self.restored(ground)

    def target(self, moment: datetime) -> datetime:
        """Return the moment to restore to."""
        return moment

    async def restored(self, ground: Ground) -> None:
        """Do nothing: whoever tries whether the proof notices does something here."""

    async def _prove(
        self, ground: Ground, moment: datetime, restored: Sequence[Answered], lost: Sequence[Answered]
    ) -> None:
        """Compare; then book again, send the log again, and compare again."""
        pool = await open_pool(ground.dsn)
        try:
            replayed_to = await self._ask(pool, "last_replayed")
            self.report.recovery_point_s = (moment - replayed_to).total_seconds()
            self.report.count(restored, lost, len(self._ledger.unanswered))
            await self._compare(pool, restored, "after the restore")
            if not self.report.differences:
                await self._go_on(ground, pool, restored, lost)
        finally:
            pool.terminate()

    async def _go_on(
        self, ground: Ground, pool: "AnyPool", restored: Sequence[Answered], lost: Sequence[Answered]
    ) -> None:
        engine, fresh = await an_engine(pool), Ledger()
        await perform(engine, fresh, [a_booking()])
        self.report.recovery_time_s = monotonic() - self._destroyed
        self._say("Booking again; sending the command log again")
        resent = await resend(engine, restored, lost, self._ledger.unanswered)
        self.report.resent = resent
        self.report.differences += resent.differences
        await self._compare(pool, [*restored, *fresh.answered, *resent.answered], "after the log was sent again")
        await self._see_archived(ground, pool)

    async def _see_archived(self, ground: Ground, pool: "AnyPool") -> None:
        """Expect WAL of a new timeline in the archive; the check ends a segment and waits until it is there."""
        before, _ = self.report.timeline, await ground.back("check")
        self.report.timeline = _timeline(await self._ask(pool, "archived"))
        if self.report.timeline <= before:
            self.report.differences.append(f"timeline {before} was not followed by another")
        async with pool.acquire() as connection:
            told = await archiver.read(connection)
        if told.is_failing or not told.is_on or told.age_s > ARCHIVE_LIMIT_S:
            self.report.differences.append(f"archiving does not go on: {told}")

    async def _compare(self, pool: "AnyPool", answered: Sequence[Answered], when: str) -> None:
        async with pool.acquire() as connection:
            found = await differences(connection, answered)
        self.report.differences += [f"{when}: {line}" for line in found]

    @staticmethod
    async def _ask(pool: "AnyPool", name: str) -> Any:
        return await pool.fetchval(SQL[name])


def _timeline(segment: str) -> int:
    return int(segment[:8], 16)
