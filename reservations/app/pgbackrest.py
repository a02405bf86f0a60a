"""pgBackRest: where it is, and what it says of the backups it keeps."""

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import orjson

INFO_LIMIT_S = 60.0
CURE = "Install it where this command runs: `apt-get install pgbackrest`."


class MissingError(Exception):
    """pgBackRest is not installed here."""


class PgBackRestError(Exception):
    """pgBackRest did not do what it was asked, or said what can't be understood."""


@dataclass(frozen=True, slots=True)
class Backups:
    """What a repository holds of a stanza, in seconds since 1970 and bytes.

    `stopped_at` is when the last backup was done, `recoverable_from` when the oldest was; both None without any.
    """

    problem: str | None
    count: int = 0
    stopped_at: float | None = None
    recoverable_from: float | None = None
    size_bytes: int = 0

    def age_s(self, now: float) -> float:
        """Return the age of the last backup; endless without one."""
        return inf if self.stopped_at is None else max(0.0, now - self.stopped_at)


def find() -> Path:
    """Return the program. Raises MissingError, with the cure, when it is not installed."""
    found = shutil.which("pgbackrest", path=os.environ.get("PATH", os.defpath))
    if found is None:
        raise MissingError(f"pgBackRest is not installed here, and its backups can't be looked at. {CURE}")
    return Path(found)


async def backups_of(stanza: str) -> Backups:
    """Ask what there is of a stanza."""
    program = str(find())
    process = await asyncio.create_subprocess_exec(
        program, f"--stanza={stanza}", "--log-level-console=off", "info", "--output=json", stdout=PIPE, stderr=PIPE
    )
    try:
        said, complaint = await asyncio.wait_for(process.communicate(), INFO_LIMIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise PgBackRestError(f"`pgbackrest info` did not answer within {INFO_LIMIT_S:.0f} s.") from None
    if process.returncode:
        raise PgBackRestError(f"`pgbackrest info` failed: {complaint.decode(errors='replace').strip()}")
    return read_info(said, stanza)


def read_info(said: bytes, stanza: str) -> Backups:
    """Return what `pgbackrest info --output=json` says of a stanza."""
    try:
        found = next((each for each in orjson.loads(said) if each["name"] == stanza), None)
        return _backups(found) if found else Backups(f"there is no stanza {stanza}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PgBackRestError(f"`pgbackrest info` said what is not understood ({error!r}).") from None


def _backups(stanza: Mapping[str, Any]) -> Backups:
    backups: Sequence[Mapping[str, Any]] = stanza["backup"]
    problem = _problem(stanza, backups)
    if not backups:
        return Backups(problem)
    last = max(backups, key=lambda backup: int(backup["timestamp"]["stop"]))
    repository = last["info"]["repository"]
    return Backups(
        problem,
        len(backups),
        last["timestamp"]["stop"],
        min(backup["timestamp"]["stop"] for backup in backups),
        repository.get("size", repository["delta"]),
    )


def _problem(stanza: Mapping[str, Any], backups: Sequence[Mapping[str, Any]]) -> str | None:
    status = stanza["status"]
    if status["code"]:
        return str(status["message"])
    damaged = [str(backup["label"]) for backup in backups if backup.get("error")]
    return f"pages with wrong checksums in {', '.join(damaged)}" if damaged else None
