"""Apply the numbered SQL files of this package to a database: in order, forward only, each once."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[Record] | PoolConnectionProxy[Record]

FOLDER = Path(__file__).parent
MONTHS_AHEAD = 3
LOCK_TIMEOUT_S = 5.0
OTHERS_TIMEOUT_S = 120.0
OWNER = "reservations_owner"

_OUR_LOCK = "hashtextextended('reservations.migrations', 0)"
_CREATE_RECORD = """
CREATE SCHEMA IF NOT EXISTS reservations;
CREATE TABLE IF NOT EXISTS reservations.schema_migrations (
  version    integer     PRIMARY KEY,
  name       text        NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)"""
_IS_OWNED = """
SELECT nspowner::regrole::text = $1 FROM pg_namespace WHERE nspname = 'reservations'"""
_ENSURE_MONTHS = """
SELECT reservations.ensure_month((date_trunc('month', now() AT TIME ZONE 'UTC') + ahead * interval '1 month')::date)
FROM generate_series(0, $1) AS ahead"""


class MigrationError(Exception):
    """The database can't be brought to the schema of this code."""


@dataclass(frozen=True)
class Migration:
    """One SQL file: `0007_what_it_does.sql` is version 7."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_in(folder: Path) -> list[Migration]:
    """Read the migrations of a folder in order; raise MigrationError unless they are numbered 1, 2, 3 and so on."""
    found = [_read(path) for path in sorted(folder.glob("*.sql"))]
    _refuse_gaps((migration.version for migration in found), f"the files of {folder}")
    return found


def latest_version(folder: Path = FOLDER) -> int:
    """Return the schema version that this code is written for."""
    return len(migrations_in(folder))


async def current_version(connection: "Connection") -> int:
    """Return the schema version of the database, 0 when it was never migrated."""
    if await connection.fetchval("SELECT to_regclass('reservations.schema_migrations')") is None:
        return 0
    version: int = await connection.fetchval("SELECT coalesce(max(version), 0) FROM reservations.schema_migrations")
    return version


async def migrate(
    dsn: str,
    *,
    log: Callable[[str], None] | None = None,
    folder: Path = FOLDER,
    others_timeout_s: float = OTHERS_TIMEOUT_S,
) -> list[str]:
    """Bring a database up to date, see that the coming months have partitions, and return the names applied.

    Several processes may call it at once: one works, the others wait for it, at most `others_timeout_s`.
    Raises MigrationError when the database and the files don't belong together, or when a file fails; what was applied
    before that file stays.
    """
    tell = log or logging.getLogger(__name__).info
    migrations = migrations_in(folder)
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "reservations-migrations"})
    try:
        await _lock_out_others(connection, others_timeout_s, tell)
        await _limit_lock_waits(connection, LOCK_TIMEOUT_S)
        if not await _take_ownership(connection):
            await connection.execute(_CREATE_RECORD)
        pending = await _pending(connection, migrations)
        for migration in pending:
            tell(f"applying migration {migration.name}")
            await _apply(connection, migration)
        await _ensure_months(connection)
        return [migration.name for migration in pending]
    finally:
        await connection.close()


def _read(path: Path) -> Migration:
    number, _, _ = path.stem.partition("_")
    if not number.isdecimal():
        raise MigrationError(f"{path} must be named by its number, as in 0007_what_it_does.sql")
    return Migration(int(number), path.stem, path.read_text("utf-8"))


async def _limit_lock_waits(connection: "Connection", timeout_s: float) -> None:
    """Let no statement wait longer for a lock: what queues behind it would wait as long."""
    await connection.execute(f"SET statement_timeout = 0; SET lock_timeout = {max(1, round(timeout_s * 1000))}")


async def _lock_out_others(connection: "Connection", timeout_s: float, tell: Callable[[str], None]) -> None:
    """Take the lock that lets one process migrate a database at a time; it ends with the connection."""
    if await connection.fetchval(f"SELECT pg_try_advisory_lock({_OUR_LOCK})"):
        return
    tell(f"another process is migrating this database; waiting for it, at most {timeout_s:g} s")
    await _limit_lock_waits(connection, timeout_s)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({_OUR_LOCK})")
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(f"another process has been migrating this database for {timeout_s:g} s") from error


async def _take_ownership(connection: "Connection") -> bool:
    """Take on the role that owns the schema, so that all that is made belongs to it; false until there is one."""
    if not await connection.fetchval(_IS_OWNED, OWNER):
        return False
    try:
        await connection.execute(f"SET ROLE {OWNER}")
    except asyncpg.InsufficientPrivilegeError as error:
        login = await connection.fetchval("SELECT quote_ident(session_user)")
        raise MigrationError(f"{login} may not migrate: as an administrator, GRANT {OWNER} TO {login}") from error
    return True


async def _pending(connection: "Connection", migrations: Sequence[Migration]) -> list[Migration]:
    """Return what is still to apply, or raise MigrationError when what was applied isn't what the files say."""
    applied = await connection.fetch(
        "SELECT version, name, checksum FROM reservations.schema_migrations ORDER BY version"
    )
    _refuse_gaps((row["version"] for row in applied), "the migrations applied to this database")
    if len(applied) > len(migrations):
        raise MigrationError(
            f"the database is at version {len(applied)}, this code only at {len(migrations)}: run newer code"
        )
    for row, migration in zip(applied, migrations, strict=False):
        if (row["name"], row["checksum"]) != (migration.name, migration.checksum):
            raise MigrationError(
                f"{migration.name} is not what was applied as {row['name']}: restore it, and add a new file"
            )
    return list(migrations[len(applied) :])


async def _apply(connection: "Connection", migration: Migration) -> None:
    """Run one file and record it, in one transaction."""
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await _take_ownership(connection)
            await connection.execute(
                "INSERT INTO reservations.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name} failed and left nothing behind: {error}") from error


async def _ensure_months(connection: "Connection") -> None:
    """Make the partitions of this month and the coming ones."""
    try:
        await connection.fetch(_ENSURE_MONTHS, MONTHS_AHEAD)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"the partitions of the coming months could not be made: {error}") from error


def _refuse_gaps(versions: Iterable[int], what: str) -> None:
    """Raise MigrationError unless the versions are 1, 2, 3 and so on."""
    for expected, version in enumerate(versions, start=1):
        if version != expected:
            raise MigrationError(f"{what} should have version {expected} where they have {version}")
