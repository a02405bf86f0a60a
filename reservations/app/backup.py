"""Watching the backups: how old the last one is, how old the last archived WAL, and what is wrong with them."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isinf
from pathlib import Path
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from reservations.app import pgbackrest
from reservations.app.pgbackrest import Backups
from reservations.app.settings import Settings
from reservations.tables import archiver
from reservations.tables.archiver import Archiver

CONNECT_LIMIT_S = 10.0
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Status:
    """How the backups stand at a moment, and everything that is wrong with them."""

    backups: Backups
    archiver: Archiver
    backup_age_s: float
    problems: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
        """Return it for JSON; what never happened is null."""
        since = self.backups.recoverable_from
        return {
            "ok": not self.problems,
            "problems": list(self.problems),
            "backups": self.backups.count,
            "backup_age_s": _finite(self.backup_age_s),
            "backup_size_bytes": self.backups.size_bytes,
            "recoverable_from": since and datetime.fromtimestamp(since, UTC).isoformat(),
            "wal_archive_age_s": _finite(self.archiver.age_s),
            "wal_archive_failures": self.archiver.failed_count,
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        since = self.shown()["recoverable_from"] or "never"
        return [
            f"last backup: {_ago(self.backup_age_s)}, {self.backups.size_bytes:,} bytes; {self.backups.count} are kept",
            f"last archived WAL: {_ago(self.archiver.age_s)}; {self.archiver.failed_count} failures so far",
            f"recoverable from: {since}",
            *(f"WRONG: {problem}" for problem in self.problems),
        ]


async def status(settings: Settings) -> Status:
    """Ask pgBackRest and PostgreSQL how the backups stand, and leave a mark in the WAL for the next time."""
    backups = await pgbackrest.backups_of(settings.backup_stanza)
    connection = await asyncpg.connect(settings.database_url, timeout=CONNECT_LIMIT_S)
    try:
        told = await archiver.read(connection)
        await archiver.mark(connection)
    finally:
        await connection.close()
    return judge(backups, told, time.time(), settings)


def judge(backups: Backups, told: Archiver, now: float, settings: Settings) -> Status:
    """Say what is wrong with the backups at a moment."""
    age_s, problems = backups.age_s(now), []
    if backups.problem:
        problems.append(f"pgBackRest: {backups.problem}")
    if age_s > settings.backup_max_age_h * HOUR_S:
        problems.append(f"the last backup is older than BACKUP_MAX_AGE_H={settings.backup_max_age_h:g}: {_ago(age_s)}")
    return Status(backups, told, age_s, (*problems, *_archive_problems(told, settings.wal_archive_max_age_s)))


def _archive_problems(told: Archiver, max_age_s: float) -> list[str]:
    if told.is_standby:
        return ["DATABASE_URL names a standby: ask the primary"]
    if not told.is_on:
        return ["archive_mode is off: what is committed now can't be recovered"]
    problems = []
    if told.is_failing:
        problems.append("archive_command fails: see PostgreSQL's log; WAL piles up in pg_wal until it succeeds")
    if told.age_s > max_age_s:
        problems.append(f"the last WAL was archived before WAL_ARCHIVE_MAX_AGE_S={max_age_s:g}: {_ago(told.age_s)}")
    return problems


def write_textfile(path: Path, status: Status, settings: Settings) -> None:
    """Write the figures for node exporter's textfile collector, whole or not at all; what never happened is +Inf."""
    registry = CollectorRegistry()
    backup_limit_s, wal_limit_s = settings.backup_max_age_h * HOUR_S, settings.wal_archive_max_age_s
    for name, help_text, value in (
        ("reservations_backup_age_seconds", "Age of the last backup.", status.backup_age_s),
        ("reservations_backup_age_limit_seconds", "BACKUP_MAX_AGE_H, in seconds.", backup_limit_s),
        ("reservations_wal_archive_age_seconds", "Age of the last archived WAL.", status.archiver.age_s),
        ("reservations_wal_archive_age_limit_seconds", "WAL_ARCHIVE_MAX_AGE_S.", wal_limit_s),
        ("reservations_backup_problems", "What `reservations backup status` finds wrong.", len(status.problems)),
        ("reservations_backup_size_bytes", "Size of the last backup in its repository.", status.backups.size_bytes),
    ):
        Gauge(name, help_text, registry=registry).set(value)
    write_to_textfile(str(path), registry)
    path.chmod(0o644)  # the node exporter is another user


def _finite(seconds: float) -> float | None:
    return None if isinf(seconds) else round(seconds, 1)


def _ago(seconds: float) -> str:
    if isinf(seconds):
        return "never"
    return f"{seconds / HOUR_S:.1f} h ago" if seconds >= HOUR_S else f"{seconds:.0f} s ago"
