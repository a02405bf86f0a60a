"""Retiring a month, and restoring it: each step all or nothing, and safe to repeat after a crash at any point."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg

from reservations.app.months.files import (
    FilesError,
    Manifest,
    copy_in,
    copy_out,
    prepare,
    read_manifest,
    verify,
    write_manifest,
    write_table,
)
from reservations.app.settings import Settings
from reservations.migrations.runner import current_version
from reservations.tables import partitions, retired_months
from reservations.tables.database import OWNER
from reservations.tables.retired_months import KEYS

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

#: Shorter than a server waits before it looks for deadlocks: it is us who gives way, not a worker.
LOCK_TIMEOUT_MS = 500
LOCK_PAUSE_S = 0.25
LOCK_LIMIT_S = 60.0

Progress = Callable[[str, int, int], None]


class RefusedError(Exception):
    """A month can't be retired or restored now; the message says why, and what to do."""


@asynccontextmanager
async def as_owner(settings: Settings) -> AsyncIterator["AnyConnection"]:
    """Give a connection as the owner of the tables, on which times are told alike wherever it is."""
    told = {"application_name": "reservations-partitions", "timezone": "UTC", "datestyle": "ISO, MDY"}
    limits = {"statement_timeout": "0", "lock_timeout": str(LOCK_TIMEOUT_MS)}
    connection = await asyncpg.connect(settings.database_url, server_settings={**OWNER, **told, **limits})
    try:
        yield connection
    finally:
        await connection.close()


async def retire(
    connection: "AnyConnection",
    month: date,
    folder: Path,
    today: date | None = None,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Write a month to files and detach it; of one that is detached already, return what was written.

    Raises:
        RefusedError: it is needed, or not the oldest, or its tables were in use all the time.
        FilesError: it is detached, and its files are not in that folder.

    """
    today = today or datetime.now(UTC).date()
    if month in await retired_months.detached(connection):
        return await _written(connection, month, folder)
    await _refuse_months_of_use(connection, month, today)
    async with connection.transaction():
        await _insist(connection, lambda: retired_months.hold_still(connection, month))
        await _refuse_holding(connection, month, today)
        manifest = await _write(connection, month, folder, progress)
        await _insist(connection, lambda: retired_months.detach(connection, month))
    return manifest


async def _written(connection: "AnyConnection", month: date, folder: Path) -> Manifest:
    """Return the manifest of a month that is detached, if it tells of those tables."""
    manifest = read_manifest(folder)
    await _compare(connection, month, manifest)
    return manifest


async def _refuse_months_of_use(connection: "AnyConnection", month: date, today: date) -> None:
    if month >= partitions.month_after(today, 0):
        raise RefusedError(f"{month:%Y-%m} is the current month, or to come: bookings are made in it.")
    if month not in await partitions.months(connection):
        raise RefusedError(f"There is no month {month:%Y-%m}; `reservations partitions list` shows those there are.")
    oldest = await retired_months.oldest(connection)
    if oldest and oldest < month:
        # Workers know the months by the first and the last.
        raise RefusedError(f"Retire {oldest:%Y-%m} first: months leave from the oldest on.")


async def _refuse_holding(connection: "AnyConnection", month: date, today: date) -> None:
    held = await retired_months.holding(connection, month, today)
    reasons = []
    if held.open:
        reasons.append(f"{held.open} reservations are not COMPLETED, CANCELLED or NO_SHOW: bring them to their end")
    if held.ahead:
        reasons.append(f"{held.ahead} have a trip date that has not passed: wait for it")
    if held.waiting:
        reasons.append(f"{held.waiting} payments wait for one: see what they are for")
    if reasons:
        raise RefusedError(f"{month:%Y-%m} is needed. {'; '.join(reasons)}.")


async def _write(connection: "AnyConnection", month: date, folder: Path, progress: Progress) -> Manifest:
    prepare(folder)
    tables = {}
    for number, table in enumerate(KEYS, start=1):
        tables[table] = await write_table(connection, table, month, folder)
        progress("tables written", number, len(KEYS))
    version = await current_version(connection)
    manifest = Manifest(month=month, schema_version=version, written_at=datetime.now(UTC), tables=tables)
    verify(manifest, folder)
    write_manifest(manifest, folder)
    return manifest


async def drop(connection: "AnyConnection", month: date, folder: Path) -> bool:
    """Drop the tables of a month that is detached, once its files are seen to hold the same; false if there are none.

    Raises:
        FilesError: the files hold something else.

    """
    if month not in await retired_months.detached(connection):
        return False
    manifest = read_manifest(folder)
    verify(manifest, folder)
    async with connection.transaction():
        await _compare(connection, month, manifest)
        await retired_months.drop(connection, month)
    return True


async def restore(connection: "AnyConnection", folder: Path, progress: Progress = lambda *_: None) -> Manifest:
    """Bring a month back from its files, in one transaction, and see that it is what was written.

    Raises:
        RefusedError: the month is there.
        FilesError: the files are not what was written, or what was read in is not.

    """
    manifest = read_manifest(folder)
    month = manifest.month
    if month in await partitions.months(connection):
        raise RefusedError(f"{month:%Y-%m} is there; nothing was changed.")
    verify(manifest, folder)
    async with connection.transaction():
        if month in await retired_months.detached(connection):
            await _compare(connection, month, manifest)
            await retired_months.drop(connection, month)
        await _insist(connection, lambda: partitions.ensure_months(connection, 0, month))
        for number, table in enumerate(KEYS, start=1):
            await copy_in(connection, table, month, manifest.tables[table], folder)
            progress("tables read", number, len(KEYS))
        await _compare(connection, month, manifest)
    return manifest


async def _compare(connection: "AnyConnection", month: date, manifest: Manifest) -> None:
    """See that the tables of a month hold what the manifest says."""
    if manifest.month != month:
        raise FilesError(f"The files are those of {manifest.month:%Y-%m}, not of {month:%Y-%m}.")
    for table, kept in manifest.tables.items():
        rows, digest = await copy_out(connection, table, month, list(kept.columns))
        if (rows, digest) != (kept.rows, kept.sha256):
            raise FilesError(f"{table} of {month:%Y-%m} has {rows} rows that are not the {kept.rows} written.")


async def _insist(connection: "AnyConnection", act: Callable[[], Awaitable[object]]) -> None:
    """Do what needs a lock on tables in use, again and again, each time waiting for a moment only."""
    deadline = monotonic() + LOCK_LIMIT_S
    while True:
        try:
            async with connection.transaction():
                await act()
        except asyncpg.LockNotAvailableError:
            if monotonic() > deadline:
                raise RefusedError(f"The tables were in use for {LOCK_LIMIT_S:g} s; nothing was changed.") from None
            await asyncio.sleep(LOCK_PAUSE_S)
        else:
            return
