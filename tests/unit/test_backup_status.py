"""Backups are judged by what pgBackRest and the archiver say, and by the limits that are set."""

import configparser
import re
import tempfile
from dataclasses import replace
from math import inf
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from reservations.app import backup
from reservations.app.cli import app
from reservations.app.drill.ground import ARCHIVING, REPOSITORY
from reservations.app.pgbackrest import Backups, PgBackRestError, read_info
from reservations.app.settings import Settings
from reservations.tables.archiver import Archiver

OPERATIONS = Path(__file__).parent.parent.parent / "operations" / "backup"
NOW = 1_795_700_000.0
HOUR_S = 3600
FINE = Archiver(is_on=True, is_standby=False, age_s=60, failed_count=3, is_failing=False)
FRESH = Backups(None, 2, NOW - HOUR_S, NOW - 100 * HOUR_S, 4_005_376)
LATER, EARLIER = 1_795_623_908, 1_795_537_508


def info(code: int = 0, error: bool = False, message: str = "ok") -> bytes:
    """Return what pgBackRest 2.45 says of a stanza with two backups, shortened."""
    backups = [
        {
            "error": error and stop == LATER,
            "info": {"delta": 32_890_664, "repository": {"delta": size, "size": size}, "size": 32_890_664},
            "label": f"{stop}F",
            "timestamp": {"start": stop - 3, "stop": stop},
            "type": "full",
        }
        for stop, size in ((EARLIER, 3_000_000), (LATER, 4_005_376))
    ]
    return orjson.dumps([{"backup": backups, "name": "reservations", "status": {"code": code, "message": message}}])


def judged(backups: Backups = FRESH, archiver: Archiver = FINE) -> backup.Status:
    """Judge backups by the default limits."""
    return backup.judge(backups, archiver, NOW, Settings())


def test_the_last_backup_the_oldest_one_and_the_size_are_read() -> None:
    assert read_info(info(), "reservations") == Backups(None, 2, LATER, EARLIER, 4_005_376)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (info(2, message="no valid backups"), "no valid backups"),
        (info(error=True), f"pages with wrong checksums in {LATER}F"),
        (b"[]", "there is no stanza reservations"),
    ],
)
def test_what_pgbackrest_finds_wrong_is_told(said: bytes, problem: str) -> None:
    assert read_info(said, "reservations").problem == problem


def test_what_pgbackrest_never_said_before_is_an_error() -> None:
    with pytest.raises(PgBackRestError, match="not understood"):
        read_info(b'[{"name": "reservations"}]', "reservations")


def test_fresh_backups_are_fine_whatever_failed_once() -> None:
    assert judged().problems == ()


@pytest.mark.parametrize(
    ("backups", "archiver", "problem"),
    [
        (replace(FRESH, stopped_at=NOW - 27 * HOUR_S), FINE, "older than BACKUP_MAX_AGE_H=26: 27.0 h ago"),
        (Backups("no valid backups"), FINE, "older than BACKUP_MAX_AGE_H=26: never"),
        (replace(FRESH, problem="no valid backups"), FINE, "pgBackRest: no valid backups"),
        (FRESH, replace(FINE, age_s=901), "before WAL_ARCHIVE_MAX_AGE_S=900: 901 s ago"),
        (FRESH, replace(FINE, age_s=inf), "before WAL_ARCHIVE_MAX_AGE_S=900: never"),
        (FRESH, replace(FINE, is_failing=True), "archive_command fails"),
        (FRESH, replace(FINE, is_on=False), "archive_mode is off"),
        (FRESH, replace(FINE, is_standby=True), "names a standby"),
    ],
)
def test_what_is_over_a_limit_or_fails_is_a_problem(backups: Backups, archiver: Archiver, problem: str) -> None:
    found = judged(backups, archiver)
    assert any(problem in each for each in found.problems)
    assert not found.shown()["ok"]


def test_the_textfile_has_the_figures_that_alerts_are_written_on(tmp_path: Path) -> None:
    path = tmp_path / "reservations_backup.prom"
    backup.write_textfile(path, judged(), Settings())
    figures = dict(line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    assert {name: float(value) for name, value in figures.items()} == {
        "reservations_backup_age_seconds": 3600,
        "reservations_backup_age_limit_seconds": 26 * HOUR_S,
        "reservations_wal_archive_age_seconds": 60,
        "reservations_wal_archive_age_limit_seconds": 900,
        "reservations_backup_problems": 0,
        "reservations_backup_size_bytes": 4_005_376,
    }


def test_what_never_happened_is_endlessly_old_to_alerts_and_null_to_json(tmp_path: Path) -> None:
    never = judged(Backups("no valid backups"), replace(FINE, age_s=inf))
    backup.write_textfile(tmp_path / "backup.prom", never, Settings())
    text = (tmp_path / "backup.prom").read_text()
    assert text.count("+Inf") == 2
    assert f"reservations_backup_problems {len(never.problems)}.0" in text
    assert (never.shown()["backup_age_s"], never.shown()["wal_archive_age_s"]) == (None, None)


@pytest.mark.parametrize("command", ["status", "drill"])
def test_without_pgbackrest_the_cure_is_told(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as empty:
        monkeypatch.setenv("PATH", empty)
        monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
        ended = CliRunner().invoke(app, ["backup", command])
    assert ended.exit_code == 3
    assert "apt-get install pgbackrest" in ended.output


def test_the_drill_archives_as_the_shipped_settings_do() -> None:
    shipped = configparser.ConfigParser(interpolation=None)
    shipped.read(OPERATIONS / "pgbackrest.conf")
    places = {"repo1-path", "spool-path", "log-path", "lock-path"}
    assert {name: value for name, value in shipped["global"].items() if name not in places} == dict(REPOSITORY)


def test_the_drill_runs_a_server_as_the_shipped_settings_do() -> None:
    shipped = dict(re.findall(r"^(\w+) = (.*?)(?: +#.*)?$", (OPERATIONS / "postgresql.conf").read_text(), re.MULTILINE))
    assert {name: shipped[name] for name in ARCHIVING} == dict(ARCHIVING)
    assert set(shipped) == {*ARCHIVING, "archive_command", "archive_timeout"}
