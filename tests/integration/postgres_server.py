"""A PostgreSQL server of the tests' own: finding its programs, starting and stopping it, databases to throw away."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

INITDB = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True)
class PostgresServer:
    """Where a running server's programs and databases are."""

    programs: Path
    port: int

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    async def execute(self, statement: str) -> None:
        """Run a statement that is about databases or roles."""
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    @asynccontextmanager
    async def scratch_database(
        self, name: str, template: str = "template1", owner: str = "postgres"
    ) -> AsyncIterator[str]:
        """Copy a database from a template, yield its address, and drop it."""
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}")
        try:
            yield self.dsn(name, owner)
        finally:
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Start a server with an empty data folder; stop it and remove the folder at the end."""
    folder = Path(tempfile.mkdtemp(prefix="reservations-postgres-"))
    server = PostgresServer(_programs(), _free_port())
    settings = {"port": server.port} | SETTINGS
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    control: list[str | Path] = [server.programs / "pg_ctl", "--pgdata", folder / "data", "--silent"]
    try:
        _run(folder, [server.programs / "initdb", "--pgdata", folder / "data", *INITDB])
        _run(folder, [*control, "--wait", "--log", folder / "log", "--options", options, "start"])
        try:
            yield server
        finally:
            _run(folder, [*control, "--wait", "--mode", "immediate", "stop"])
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """Find the newest PostgreSQL of this machine; TEST_POSTGRES_BIN names another."""
    if named := os.environ.get("TEST_POSTGRES_BIN"):
        return Path(named)
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    if not installed and not on_path:
        raise FileNotFoundError(
            "no PostgreSQL on this machine: install postgresql, or name its programs in TEST_POSTGRES_BIN"
        )
    return installed[-1] if installed else Path(str(on_path)).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(folder: Path, command: Sequence[str | Path]) -> None:
    """Run a program in the folder; as another user where this one is root, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    account = accounts.get("postgres") or accounts["nobody"]
    shutil.chown(folder, account.pw_uid, account.pw_gid)
    subprocess.run(
        command,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )
