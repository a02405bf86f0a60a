"""What rounds stand on: PostgreSQL and Apache Kafka as processes behind proxies, one server each for all rounds."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from reservations.app.stack import leftovers, postgres
from reservations.app.stack.home import Home
from reservations.migrations.runner import migrate
from tests.apache_kafka.cluster import prepare as prepare_kafka
from tests.apache_kafka.libraries import fetch
from tests.databases import beside, execute
from tests.faults.processes import Kept
from tests.proxy import Proxy, a_proxy

TEMPLATE = "round_template"
LEDGER = Path(__file__).with_name("ledger.sql")
DISK_MB = 1024
#: The times of messages are compared with each other, while the clocks of processes are off.
BY_ONE_CLOCK = {"log.message.timestamp.type": "LogAppendTime"}


@dataclass
class PostgresServer:
    """The database server: it can crash, freeze, and run out of disk."""

    kept: Kept
    server: postgres.Postgres
    proxy: Proxy
    has_own_disk: bool

    @property
    def direct(self) -> str:
        """Return the address past the proxy."""
        return self.server.dsn

    @property
    def proxied(self) -> str:
        """Return the address through the proxy."""
        parts = urlsplit(self.server.dsn)
        netloc = f"{parts.netloc.rpartition('@')[0]}@{self.proxy.address}"
        return urlunsplit(parts._replace(netloc=netloc))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server."""
        for pid in leftovers.processes(self.server.data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def crash(self) -> None:
        """Kill every process of the server, which is not started again by itself."""
        before = len(self.kept.ends)
        self.kept.pause()
        self.send(signal.SIGKILL)
        await self.kept.ended(before)
        await leftovers.clear(self.server.data)

    async def start_again(self) -> None:
        """Start the server after a crash; return when it answers."""
        await self.kept.start()

    def ballast(self) -> Path:
        """Return a file on the disk of the data, which may be made as large as the disk."""
        return self.server.data.parent / "ballast"


@dataclass
class KafkaServer:
    """The broker: it can crash and freeze."""

    kept: Kept
    address: str
    proxy: Proxy

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the broker."""
        self.kept.send(number)

    async def crash(self) -> None:
        """Kill the broker, which is not started again by itself."""
        self.kept.pause()
        await self.kept.kill()

    async def start_again(self) -> None:
        """Start the broker after a crash; return when it answers."""
        await self.kept.start()


@dataclass
class Ground:
    """The servers."""

    folder: Path
    postgres: PostgresServer
    kafka: KafkaServer

    async def restore(self) -> None:
        """Mend whatever a fault may have left."""
        self.postgres.ballast().unlink(missing_ok=True)
        await asyncio.gather(self.postgres.proxy.restore(), self.kafka.proxy.restore())
        self.postgres.send(signal.SIGCONT)
        self.kafka.kept.send(signal.SIGCONT)
        for kept in (self.postgres.kept, self.kafka.kept):
            await kept.until_ready()


@asynccontextmanager
async def a_ground(folder: Path) -> AsyncIterator[Ground]:
    """Give servers that run until the block ends, keeping everything in the folder.

    Raises:
        KafkaUnavailableError: there is no Apache Kafka to be had.

    """
    libraries = await asyncio.to_thread(fetch)
    folder.chmod(0o755)  # the database server may run as somebody else
    home = Home(folder)
    with a_disk(folder / "disk") as disk:
        async with a_proxy("127.0.0.1", 0) as to_postgres, a_proxy("127.0.0.1", 0) as to_kafka:
            server = await postgres.prepare(Home(disk or folder))
            to_postgres.forward_to(urlsplit(server.dsn).netloc.rpartition("@")[2])
            database = Kept(server.program, server.is_ready)
            cluster = prepare_kafka(home, libraries, advertised=[to_kafka.address], settings=BY_ONE_CLOCK)
            node = cluster.nodes[0]
            to_kafka.forward_to(node.proxied_address)
            broker = Kept(node.program, cluster.is_ready)
            try:
                await asyncio.gather(database.start(), broker.start())
                ground = Ground(
                    folder,
                    PostgresServer(database, server, to_postgres, is_apart(server.data)),
                    KafkaServer(broker, node.address, to_kafka),
                )
                await make_template(ground.postgres.direct)
                yield ground
            finally:
                await asyncio.gather(database.stop(signal.SIGQUIT), broker.stop(signal.SIGKILL))


def is_apart(data: Path) -> bool:
    """Tell whether the data lie on the small disk made for them: only that one may be filled."""
    disk = os.statvfs(data)
    return disk.f_blocks * disk.f_frsize <= DISK_MB * 1024 * 1024


async def make_template(dsn: str) -> None:
    """Make the database that each round's is copied from: migrated, with an empty ledger in it."""
    await execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    address = beside(dsn, TEMPLATE)
    await migrate(address)
    await execute(address, LEDGER.read_text())


@contextmanager
def a_disk(folder: Path) -> Iterator[Path | None]:
    """Give a file system of its own, small enough to be filled, where one can be made (as root, on Linux)."""
    image = folder.with_suffix(".img")
    folder.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(DISK_MB * 1024 * 1024)
        for command in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", str(image), str(folder)]):
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
        image.unlink()
