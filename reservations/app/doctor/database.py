"""Examining the database."""

from typing import TYPE_CHECKING

import asyncpg

from reservations.app.database_tls import CURE, unverified_hosts
from reservations.app.doctor.findings import Finding, Stopwatch, ok, skipped, warning, wrong
from reservations.app.settings import Settings
from reservations.migrations.runner import MONTHS_AHEAD, current_version, latest_version
from reservations.tables import partitions

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

CONNECT_LIMIT_S = 5.0
ROLES = ("reservations_reader", "reservations_writer")
MIGRATE = "Run `reservations migrate`."
_MAY_BE = "SELECT rolname FROM pg_roles WHERE rolname = ANY ($1) AND pg_has_role(oid, 'MEMBER') ORDER BY 1"
_EXIST = "SELECT count(*) FROM pg_roles WHERE rolname = ANY ($1)"


async def examine_database(settings: Settings) -> list[Finding]:
    """Return what is found of the database: reach, TLS, roles, schema version, months."""
    watch = Stopwatch()
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=CONNECT_LIMIT_S)
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        return [_unreachable(error), skipped("database.schema", "the database can't be reached")]
    try:
        reached = ok("database.reach", f"PostgreSQL {connection.get_server_version().major}", watch.lap())
        return [reached, _tls(settings), *await _inside(connection)]
    finally:
        await connection.close()


def _unreachable(error: Exception) -> Finding:
    seen = f"{type(error).__name__}: {error or f'no answer within {CONNECT_LIMIT_S:g} s'}"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidPasswordError):
        return wrong("database.reach", seen, "Correct user and password in DATABASE_URL, or let them in (pg_hba.conf).")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return wrong("database.reach", seen, "Correct the database's name in DATABASE_URL, or create that database.")
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return wrong("database.reach", seen, "Lower POOL_MAX_SIZE, or raise max_connections of the server.")
    return wrong("database.reach", seen, "Start PostgreSQL, or correct host and port in DATABASE_URL; see its log.")


def _tls(settings: Settings) -> Finding:
    hosts = unverified_hosts(settings.database_url)
    if hosts:
        return warning("database.tls", f"{', '.join(hosts)} is spoken to without verified TLS", f"{CURE}.")
    return ok("database.tls", "verified, or on this machine")


async def _inside(connection: "AnyConnection") -> list[Finding]:
    if await connection.fetchval(_EXIST, ROLES) < len(ROLES):
        return [wrong("database.schema", "never migrated: the service's roles are missing", MIGRATE)]
    may_be = [row["rolname"] for row in await connection.fetch(_MAY_BE, ROLES)]
    if not may_be:
        cure = (
            "As an administrator, GRANT reservations_writer (workers) or reservations_reader (gateways) to the login."
        )
        return [wrong("database.role", "the login may take on no role of the service", cure)]
    await connection.execute(f"SET ROLE {may_be[0]}")
    return [ok("database.role", f"may be {' and '.join(may_be)}"), *await _schema(connection)]


async def _schema(connection: "AnyConnection") -> list[Finding]:
    try:
        version, needed = await current_version(connection), latest_version()
    except asyncpg.InsufficientPrivilegeError:
        return [wrong("database.schema", "never migrated, or not by this service", MIGRATE)]
    if version < needed:
        return [wrong("database.schema", f"at version {version}, {needed} is needed", MIGRATE)]
    if version > needed:
        cure = "Run the release that migrated it; processes of this one go on as long as its statements do."
        return [warning("database.schema", f"at version {version}, newer than {needed} of this release", cure)]
    return [ok("database.schema", f"at version {version}"), await _months(connection)]


async def _months(connection: "AnyConnection") -> Finding:
    ahead = await partitions.months_ahead(connection)
    seen = f"{max(ahead, 0)} months ahead have partitions" if ahead >= 0 else "the current month has no partitions"
    if ahead < 1:
        return wrong("database.months", seen, "Run `reservations partitions ensure`; a worker does so every hour.")
    if ahead < MONTHS_AHEAD:
        return warning("database.months", seen, "See in the worker's log why it made no more; or run `migrate`.")
    return ok("database.months", seen)
