"""An embedded PostgreSQL server: a data folder that outlives restarts, reached over the loopback address only."""

import hashlib
import os
import secrets
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from reservations.app.stack import leftovers
from reservations.app.stack.home import LOOPBACK, Home
from reservations.app.stack.installations import Installation, choose, copy_within_reach, installations
from reservations.app.stack.programs import Program, StackError, User, complete

NAME: Final = "reservations"
PASSWORD_FILE = "postgres-password"  # noqa: S105  # a file's name
ELSEWHERE = Path("/var/tmp")  # noqa: S108  # what is made there belongs to root, or is refused
CONNECT_LIMIT_S = 2

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
HBA = f"host all all {LOOPBACK}/32 scram-sha-256\n"


@dataclass(frozen=True)
class Postgres:
    """A server that is ready to be started, and where it will be reached.

    `took_over` tells that a server of an earlier run had to be stopped first.
    """

    program: Program
    dsn: str = field(repr=False)
    data: Path
    installation: Installation
    took_over: bool

    async def is_ready(self) -> bool:
        """Tell whether the server answers a query."""
        try:
            connection = await asyncpg.connect(self.dsn, timeout=CONNECT_LIMIT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            return bool(await connection.fetchval("SELECT true"))
        finally:
            await connection.close()


async def prepare(home: Home, found: list[Installation] | None = None, *, durable: bool = True) -> Postgres:
    """Make the data folder if it is missing, end what an earlier run left behind, and describe the server to start.

    `found` are the installations to choose from, by default those of this machine. Without `durable` the server does
    not wait for its disk: for tests only.
    """
    place = place_for(home)
    data = place / "data"
    user = user_for(data)
    installation = within_reach(choose(installations(os.environ) if found is None else found, data), user, place)
    took_over = await leftovers.clear(data)
    server = Server(installation, user, home)
    await server.set_up(data)
    port = home.port("postgres")
    settings = SETTINGS | {"port": str(port)} | ({} if durable else FORGETFUL)
    dsn = f"postgresql://{NAME}:{home.secret(PASSWORD_FILE)}@{LOOPBACK}:{port}/{NAME}"
    return Postgres(server.program("postgres", *options(data, settings)), dsn, data, installation, took_over)


def is_own(home: Home, dsn: str) -> bool:
    """Tell whether an address is that of this state folder's own server, as in a shell that sourced its `env`."""
    password = home.secret(PASSWORD_FILE)
    return bool(password) and f"{NAME}:{password}@{LOOPBACK}:" in dsn


def options(data: Path, settings: dict[str, str]) -> list[str]:
    """Return the command line for a server on this data folder with these settings."""
    return ["-D", str(data), *(part for key, value in settings.items() for part in ("-c", f"{key}={value}"))]


def place_for(home: Home) -> Path:
    """Return the folder that holds the data folder: in the state folder, where the server's user can get there.

    Root's server runs as another user, who often can't enter root's own folders; the place is then one under /var/tmp
    that is tied to the state folder's path.
    """
    place = Home.make(home.path / "postgres")
    if os.geteuid() != 0 or user_for(place / "data").reaches(place):
        return place
    key = hashlib.sha256(str(home.path).encode()).hexdigest()[:12]
    elsewhere = Home.make(ELSEWHERE / f"svc-reservations-{key}")
    if elsewhere.is_symlink() or elsewhere.stat().st_uid != 0:
        raise StackError(f"{elsewhere} was made by somebody else; set RESERVATIONS_HOME to another folder.")
    return elsewhere


def user_for(data: Path) -> User:
    """Return the user to run the server as: ourselves, but never root. A data folder keeps its owner."""
    owner = User.by_uid(data.stat().st_uid) if data.exists() else None
    if os.geteuid() != 0:
        if owner and owner.uid != os.geteuid():
            raise StackError(f"The data in {data} belong to {owner.name}: start as root, or move that folder away.")
        return User.by_uid(os.geteuid())
    return owner if owner and owner.uid != 0 else User.unprivileged()


def within_reach(installation: Installation, user: User, place: Path) -> Installation:
    """Return the installation, or a copy of it where it lies in a folder that the user can't enter."""
    if os.geteuid() != 0 or user.reaches(installation.folder / "postgres"):
        return installation
    return copy_within_reach(installation, place)


@dataclass(frozen=True)
class Server:
    """PostgreSQL's programs, run as the right user, with their output in the state folder's log."""

    installation: Installation
    user: User
    home: Home

    def program(self, name: str, *arguments: str) -> Program:
        """Describe a run of one of PostgreSQL's programs."""
        return Program(
            name=name,
            argv=[str(self.installation.folder / name), *arguments],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            output=self.home.log("postgres"),
            user=self.user if os.geteuid() == 0 else None,
            cwd=Path("/"),
            stop_signals=(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL),
            orphan_signal=signal.SIGINT,
        )

    async def set_up(self, data: Path) -> None:
        """Make the data folder, whole or not at all, and the password if either is missing."""
        if not (data / "PG_VERSION").exists():
            new = data.with_name("data.new")
            await self.initialise(new)
            await self.set_password(new)
            new.rename(data)
        elif self.home.secret(PASSWORD_FILE) is None:
            await self.set_password(data)

    def make_empty(self, data: Path) -> None:
        """Make an empty folder that belongs to the server's user alone."""
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        os.chown(data, self.user.uid, self.user.gid)

    async def initialise(self, data: Path) -> None:
        """Make a data folder with the database in it, open to passwords only."""
        self.make_empty(data)
        fixed = ("--username", NAME, "--encoding=UTF8", "--locale=C", "--auth=reject", "--no-instructions")
        await complete(self.program("initdb", "-D", str(data), *fixed))
        (data / "pg_hba.conf").write_text(HBA)
        await self.alone(data, f"CREATE DATABASE {NAME}")

    async def set_password(self, data: Path) -> None:
        """Give the database user a new password and keep it in the state folder."""
        password = secrets.token_urlsafe(24)
        await self.alone(data, f"ALTER ROLE {NAME} PASSWORD '{password}'")
        self.home.keep_secret(PASSWORD_FILE, password)

    async def alone(self, data: Path, statement: str) -> None:
        """Execute a statement on a data folder that no server runs on."""
        arguments = ("--single", "-D", str(data), "-c", "exit_on_error=on", "postgres")
        await complete(self.program("postgres", *arguments), statement + "\n")
