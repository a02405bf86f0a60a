"""The checker: asks the ledger of a round what broke a promise. It uses none of the service's code."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.databases import Connection

SHOWN = 5
CHECKS = Path(__file__).with_name("checks.sql")
TABLES = ("reservations", "participants", "status_history", "inbox", "trip_slots", "guest_days")


@dataclass(frozen=True)
class Violation:
    """A promise that was broken: which, how often, and some of what shows it."""

    promise: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.promise} ({self.count}): {'; '.join(self.examples)}"


def checks() -> dict[str, str]:
    """Return the queries by what they find."""
    parts = re.split(r"^-- name: (.+)$", CHECKS.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


async def violations(connection: Connection) -> list[Violation]:
    """Return every promise that was broken."""
    await connection.execute("ANALYZE")
    return await broken(connection)


async def broken(connection: Connection) -> list[Violation]:
    """Return every promise that was broken, on tables that are analyzed or small."""
    return [each for name, query in checks().items() if (each := await _ask(connection, name, query))]


async def _ask(connection: Connection, name: str, query: str) -> Violation | None:
    rows = await connection.fetch(query)
    return Violation(name, len(rows), tuple(str(dict(row)) for row in rows[:SHOWN])) if rows else None


async def keep(connection: Connection) -> None:
    """Keep every row of the service and every id of an event, to compare them later."""
    for table in TABLES:
        await connection.execute(f"CREATE TABLE faults.kept_{table} AS SELECT t::text FROM reservations.{table} AS t")
    await connection.execute("CREATE TABLE faults.kept_event AS SELECT DISTINCT event_id FROM faults.event")


async def changed_since_kept(connection: Connection) -> list[Violation]:
    """Return what reading the whole log again changed, and what it told that is new."""
    found = []
    for table in TABLES:
        now, kept = f"SELECT t::text FROM reservations.{table} AS t", f"SELECT t FROM faults.kept_{table}"
        query = f"({now} EXCEPT ALL {kept}) UNION ALL ({kept} EXCEPT ALL {now})"
        found.append(await _ask(connection, f"reading the log again changed {table}", query))
    query = "SELECT DISTINCT event_id FROM faults.event EXCEPT SELECT event_id FROM faults.kept_event"
    found.append(await _ask(connection, "reading the log again told something new", query))
    return [each for each in found if each]
