"""Play the drill, and twice more with a lie in it that it must notice: `python -m tests.drill`.

Without pgBackRest it says so and ends with 0: nothing was tried. Else it ends with 1 if a drill did not come out as it
should.
"""

import sys
from datetime import datetime, timedelta

import asyncpg
import uvloop

from reservations.app.drill.drill import Drill, Plan
from reservations.app.drill.ground import Ground
from reservations.app.pgbackrest import MissingError

HONEST, SHORT = Plan(seconds=6), Plan(bookings_per_second=100, seconds=3)
LATER = timedelta(seconds=0.5)
DROP_A_ROW = """
DELETE FROM reservations.status_history
WHERE history_id = (SELECT history_id FROM reservations.status_history LIMIT 1)"""


class AfterDroppingARow(Drill):
    """A drill whose restored database lacks one row."""

    async def restored(self, ground: Ground) -> None:
        """Drop one change of status."""
        connection = await asyncpg.connect(ground.dsn)
        try:
            await connection.execute(DROP_A_ROW)
        finally:
            await connection.close()


class ToALaterMoment(Drill):
    """A drill that restores what was committed after its moment, too."""

    def target(self, moment: datetime) -> datetime:
        """Return a moment when more was booked."""
        return moment + LATER


LIES: dict[type[Drill], str] = {
    AfterDroppingARow: "history does not lead to their status",
    ToALaterMoment: "bookings too many",
}


async def main() -> int:
    """Play them; return the exit status."""
    honest = await Drill(HONEST, note).run()
    print("\n".join(honest.lines()), flush=True)
    return 1 if honest.differences else max([await missed(lie, expected) for lie, expected in LIES.items()])


async def missed(lie: type[Drill], expected: str) -> int:
    """Play a drill that lies; return 1 if it does not say so."""
    report = await lie(SHORT, note).run()
    noticed = any(expected in line for line in report.differences)
    print(f"{lie.__name__}: {'noticed' if noticed else 'NOT NOTICED'}: {report.differences}", flush=True)
    return 0 if noticed else 1


def note(line: str) -> None:
    """Print what a drill does."""
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(uvloop.run(main()))
    except MissingError as error:
        print(f"The drill was not played. {error}")
