"""pgbench with the same statements: what one transaction per command comes to with no Python and no Kafka at all.

So it is an upper bound for that way of working, not a service: nothing is read, checked, told or acknowledged.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from reservations.models.identifiers import confirmation_code
from tests.bench.ground import TEMPLATE, Ground
from tests.bench.peers.booking import PARTICIPANT_DETAILS, Booking
from tests.bench.peers.effect import EFFECT, SQL
from tests.bench.verdict import Verdict
from tests.bench.workload import TRIP_DATES, Workload, drain
from tests.databases import beside, execute

CLIENTS = (1, 2, 4, 8, 16, 32)
THREADS = 2
RUN_S = 6
PARAMETER = re.compile(r"\$(\d+)")
TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)

#: Random numbers of 60 bits, the code of 40.
DRAWN = rf"""
\set message random(1, 1000000000000000000)
\set own random(1, 1000000000000000000)
\set guest random(1, 1000000000000000000)
\set code random(1, 1099511627775)
\set slot random(1, {TRIP_DATES})
"""
#: Hexadecimal digits of a UUID: a UUIDv7 has its 12 of the time before, and version and variant among the next five.
KIN = "(:time::text || '{}' || lpad(to_hex(:own::bigint), 15, '0'))::uuid"
RANDOM = "rpad(to_hex(:{}::bigint), 32, '{}')::uuid"
OWN, FIRST, SECOND = KIN.format("7abc8"), KIN.format("70008"), KIN.format("70018")
MESSAGE, TRIP = RANDOM.format("message", 0), RANDOM.format("slot", 0)
GUEST, FRIEND = RANDOM.format("guest", 0), RANDOM.format("guest", 1)
DAY = "'2027-01-01'::date + :slot::integer % 365"
CODE = ":month::text || lpad(upper(to_hex(:code::bigint)), 10, '0')"
#: What stands for the parameters of each statement.
VALUES: Mapping[str, Sequence[str]] = {
    "remember": (MESSAGE, "'reservation.create'", OWN, MESSAGE, ":outcome", ":publications"),
    "take_seats": (TRIP, DAY, "2"),
    "claim_day": (GUEST, DAY, OWN),
    "reserve": (OWN, GUEST, TRIP, CODE, DAY, "2", "1234.50", ":made", ":made", ":details"),
    "join_party": (
        *(OWN, "now()", ":participant::jsonb"),
        *(f"ARRAY[{FIRST}, {SECOND}]", f"ARRAY[{GUEST}, {FRIEND}]", "ARRAY['primary', 'guest']"),
    ),
    "record": (SECOND, OWN, "'partner-imports'", "now()", ":step"),
}
SLOTS = f"""
INSERT INTO reservations.trip_slots (trip_id, trip_date, capacity)
SELECT {TRIP.replace(":slot::bigint", "slot")}, {DAY.replace(":slot::integer", "slot")}, 1000000
FROM generate_series(1, {TRIP_DATES}) AS slot
"""  # noqa: S608  # our own words
SUMS = """
SELECT
  (SELECT count(*) FROM reservations.inbox) AS inbox,
  (SELECT count(*) FROM reservations.reservations) AS reservations,
  (SELECT count(*) FROM reservations.status_history) AS changes,
  (SELECT count(*) FROM reservations.guest_days) AS days,
  (SELECT count(*) / 2.0 FROM reservations.participants) AS parties,
  (SELECT sum(taken) / 2.0 FROM reservations.trip_slots) AS pairs
"""


@dataclass(frozen=True)
class Pgbench:
    """Short runs with more and more clients on one database, of which the best counts."""

    name: str

    def missing(self, ground: Ground) -> str:
        """Return what it lacks here."""
        return "" if _program(ground).exists() else "this PostgreSQL has no pgbench"

    async def run(self, ground: Ground, workload: Workload) -> Verdict:
        """Measure; of the workload only the look of a booking is taken."""
        name = f"run_{uuid4().hex[:8]}"
        await execute(ground.database_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        address = beside(ground.database_url, name)
        try:
            await execute(address, SLOTS)
            runs = [await _run(ground, address, clients) for clients in CLIENTS]
            wrongs = await _wrongs(address, sum(done for _, done in runs))
        finally:
            await execute(ground.database_url, f"DROP DATABASE {name} WITH (FORCE)")
        tps, effects = max(runs)
        return Verdict(tps, RUN_S, effects, wrongs)


async def _run(ground: Ground, address: str, clients: int) -> tuple[float, int]:
    script = ground.folder / "pgbench.sql"
    script.write_text(_script())
    defined = [f"--define={name}={value}" for name, value in _texts().items()]
    options = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, THREADS)), "-T", str(RUN_S)]
    process = await asyncio.create_subprocess_exec(
        *(str(_program(ground)), *options, *defined, "-f", str(script)),
        env={**os.environ, **_login(address)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await process.communicate()
    tps, done = TPS.search(output.decode()), DONE.search(output.decode())
    assert process.returncode == 0, complaints.decode()
    assert tps
    assert done
    return round(float(tps[1]), 1), int(done[1])


def _script() -> str:
    statements = [_filled(name) for name in ("remember", *EFFECT)]
    return DRAWN + "\n".join(["BEGIN;", *statements, "COMMIT;", ""])


def _filled(name: str) -> str:
    return PARAMETER.sub(lambda found: VALUES[name][int(found[1]) - 1], SQL[name])


def _texts() -> dict[str, str]:
    """Return texts as long as a real booking's, one for all: that they are sent and stored is what costs."""
    booking = Booking(drain(1, 1).messages[0].value)
    return {
        "time": booking.reservation_id.hex[:12],
        "month": confirmation_code(booking.created_at)[:2],
        "made": booking.created_at.isoformat(),
        "outcome": booking.applied.outcome,
        "publications": booking.applied.publications,
        "details": booking.rows["reserve"][-1],
        "participant": PARTICIPANT_DETAILS,
        "step": booking.rows["record"][-1],
    }


def _login(address: str) -> dict[str, str]:
    parts = urlsplit(address)
    login = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port),
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
    }
    return {"PGDATABASE": parts.path[1:], **{name: value for name, value in login.items() if value}}


def _program(ground: Ground) -> Path:
    return ground.programs_folder / "pgbench"


async def _wrongs(address: str, done: int) -> list[str]:
    connection = await asyncpg.connect(address)
    found = await connection.fetchrow(SUMS)
    await connection.close()
    assert found, "no row"
    return [f"{count} {name} after {done} transactions" for name, count in found.items() if count != done]
