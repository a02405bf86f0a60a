"""The ground of a drill: a PostgreSQL server that archives, and a pgBackRest repository, in one folder."""

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg

from reservations.app.pgbackrest import Backups, find, read_info
from reservations.app.stack import leftovers, postgres
from reservations.app.stack.home import LOOPBACK, Home
from reservations.app.stack.installations import choose, installations
from reservations.app.stack.programs import Program, StackError, User, complete, end, last_lines, send, spawn

STANZA: Final = "drill"
READY_LIMIT_S = 120.0
GONE_LIMIT_S = 10.0
POLL_S = 0.02
ARCHIVE_TIMEOUT_S = 2

#: As in operations/backup: all but where things lie, and how long a segment may wait for more.
REPOSITORY: Mapping[str, str] = {
    "repo1-retention-full-type": "time",
    "repo1-retention-full": "30",
    "repo1-bundle": "y",
    "repo1-cipher-type": "aes-256-cbc",
    "compress-type": "zst",
    "compress-level": "3",
    "process-max": "2",
    "start-fast": "y",
    "checksum-page": "y",
    "archive-async": "y",
    "log-level-console": "warn",
    "log-level-file": "detail",
}
ARCHIVING: Mapping[str, str] = {"wal_level": "replica", "archive_mode": "on"}


@dataclass
class Ground:
    """A folder with a server and a repository; the server is lost and restored here."""

    root: Path
    server: postgres.Server
    pgbackrest: Path
    port: int
    dsn: str = field(default="", repr=False)
    process: Process | None = None

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.root / "data"

    @property
    def spool(self) -> Path:
        """What pgBackRest keeps beside the server: lost with it."""
        return self.root / "spool"

    @property
    def config(self) -> Path:
        """PgBackRest's settings."""
        return self.root / "pgbackrest.conf"

    def folder(self, path: Path) -> Path:
        """Make a folder that belongs to the server's user alone."""
        path.mkdir(mode=0o700, exist_ok=True)
        os.chown(path, self.server.user.uid, self.server.user.gid)
        return path

    async def create(self) -> None:
        """Make the server's data folder, with checksums where this installation can, and start it with its stanza."""
        await self.server.set_up(self.data)
        if (self.server.installation.folder / "pg_checksums").exists():
            await complete(self.server.program("pg_checksums", "--enable", "-D", str(self.data)))
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("local all all peer map=drill\n")
        (self.data / "pg_ident.conf").write_text(f"drill {self.server.user.name} {postgres.NAME}\n")
        password = self.server.home.secret(postgres.PASSWORD_FILE)
        self.dsn = f"postgresql://{postgres.NAME}:{password}@{LOOPBACK}:{self.port}/{postgres.NAME}"
        self._configure()
        await self.start()
        await self.back("stanza-create")

    def _configure(self) -> None:
        for name in ("repository", "spool", "socket", "lock", "pgbackrest-log"):
            self.folder(self.root / name)
        places = {
            "repo1-path": self.root / "repository",
            "repo1-cipher-pass": secrets.token_urlsafe(48),
            "spool-path": self.spool,
            "lock-path": self.root / "lock",
            "log-path": self.root / "pgbackrest-log",
        }
        stanza = {
            "pg1-path": self.data,
            "pg1-port": self.port,
            "pg1-socket-path": self.root / "socket",
            "pg1-user": postgres.NAME,
        }
        self.config.touch(mode=0o600)
        self.config.write_text(_section("global", {**REPOSITORY, **places}) + _section(STANZA, stanza))
        os.chown(self.config, self.server.user.uid, self.server.user.gid)

    def _settings(self) -> dict[str, str]:
        return {
            **postgres.SETTINGS,
            **ARCHIVING,
            "port": str(self.port),
            "unix_socket_directories": str(self.root / "socket"),
            "archive_command": f"{self.pgbackrest} --config={self.config} --stanza={STANZA} archive-push %p",
            "archive_timeout": str(ARCHIVE_TIMEOUT_S),
        }

    async def start(self) -> None:
        """Start the server and wait until it can be written to: a restored one replays its WAL first."""
        program = self.server.program("postgres", *postgres.options(self.data, self._settings()))
        with program.output.open("ab") as log:
            self.process = await spawn(program, log)
        deadline = asyncio.get_running_loop().time() + READY_LIMIT_S
        while not await self.is_writable():
            ended = self.process.returncode is not None
            if ended or asyncio.get_running_loop().time() > deadline:
                ending = "\n".join(last_lines(program.output))
                raise StackError(f"PostgreSQL {'ended' if ended else 'is not ready'}:\n{ending}")
            await asyncio.sleep(POLL_S)

    async def is_writable(self) -> bool:
        """Tell whether the server has come up, and out of its recovery."""
        try:
            connection = await asyncpg.connect(self.dsn, timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            return not await connection.fetchval("SELECT pg_is_in_recovery()")
        finally:
            await connection.close()

    async def back(self, *arguments: str) -> str:
        """Run pgBackRest as the server's user; return what it said."""
        common = (f"--config={self.config}", f"--stanza={STANZA}")
        program = Program(
            name=f"pgbackrest {arguments[0]}",
            argv=[str(self.pgbackrest), *common, *arguments],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            output=self.server.home.log("pgbackrest"),
            user=self.server.user if os.geteuid() == 0 else None,
            cwd=Path("/"),
        )
        return await complete(program)

    async def backups(self) -> Backups:
        """Return what the repository holds."""
        return read_info((await self.back("info", "--output=json")).encode(), STANZA)

    async def destroy(self) -> None:
        """Kill the server, and remove its data and what waited beside it to be archived."""
        assert self.process  # noqa: S101  # it was started
        send(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        if not await leftovers.gone(self.data, GONE_LIMIT_S):
            raise StackError(f"PostgreSQL's processes on {self.data} do not end.")
        shutil.rmtree(self.data)
        shutil.rmtree(self.spool)
        self.folder(self.spool)

    async def restore(self, moment: datetime) -> None:
        """Restore the data folder as it was at a moment, to be replayed up to there at the next start."""
        self.server.make_empty(self.data)
        target = f"{moment:%Y-%m-%d %H:%M:%S.%f}+00"
        await self.back("--type=time", f"--target={target}", "--target-action=promote", "restore")

    async def close(self) -> None:
        """End the server and whatever pgBackRest still does."""
        program = self.server.program("postgres")
        if self.process:
            await end(self.process, program)
            await leftovers.clear(self.data)
        if self.config.exists():
            with suppress(StackError):
                await self.back("--force", "stop")


def _section(name: str, options: Mapping[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in options.items()) + "\n"


@asynccontextmanager
async def a_ground(keep: Path | None) -> AsyncIterator[Ground]:
    """Give a ground in the folder to keep, or in a temporary one that is removed."""
    program = find()
    root = _kept(keep) if keep else Path(tempfile.mkdtemp(prefix="reservations-drill-"))
    ground = _ground(root, program)
    try:
        yield ground
    finally:
        await ground.close()
        if not keep:
            shutil.rmtree(root, ignore_errors=True)


def _ground(root: Path, program: Path) -> Ground:
    user = User.unprivileged() if os.geteuid() == 0 else User.by_uid(os.geteuid())
    if os.geteuid() == 0:
        root.chmod(0o755)
    if os.geteuid() == 0 and not user.reaches(root):
        raise StackError(f"{user.name}, as whom PostgreSQL runs, can't enter {root}: name a folder for --keep it can.")
    home = Home(root / "home")
    installation = choose(installations(os.environ), root / "data")
    server = postgres.Server(postgres.within_reach(installation, user, root), user, home)
    return Ground(root, server, program, home.port("postgres"))


def _kept(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StackError(f"{folder} is not empty: name another folder for --keep.")
    return folder.resolve()
