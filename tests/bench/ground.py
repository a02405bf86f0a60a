"""The servers that contestants run on: a durable PostgreSQL, and the embedded broker or Apache Kafka."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reservations.app.stack import broker, postgres
from reservations.app.stack.home import Home
from reservations.app.stack.installations import ask
from reservations.migrations.runner import migrate
from tests.apache_kafka.cluster import prepare as prepare_kafka
from tests.apache_kafka.libraries import fetch
from tests.databases import beside, execute
from tests.servers import Server, apart, running

EMBEDDED, APACHE = "embedded", "apache"
TEMPLATE = "bench_template"


@dataclass(frozen=True)
class Ground:
    """Where the servers are, and a folder for logs; `programs` says which they are."""

    database_url: str
    kafka: Server
    folder: Path
    programs: Mapping[str, str]
    programs_folder: Path
    """Where the programs of this PostgreSQL lie."""
    data: Path
    """The data folder of the database."""
    grown: str | None = None
    """The address of a database that has grown for years, on whatever server."""


@contextmanager
def a_ground(kind: str) -> Iterator[Ground]:
    """Give servers that run until the block ends, with a migrated database to copy; `kind` names the broker.

    Raises:
        KafkaUnavailableError: Apache Kafka is asked for, and can't be had.

    """
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o755)  # the database server may run as somebody else
    home = Home(folder)
    database = apart(postgres.prepare(home))
    try:
        with running(database.program, database.is_ready), _broker(kind, home) as kafka:
            apart(_make_template(database.dsn))
            made = database.installation
            programs = {"PostgreSQL": f"{made.version}, {made.origin}", "broker": kafka.description}
            yield Ground(database.dsn, kafka, folder, programs, made.folder, database.data)
    finally:
        shutil.rmtree(database.data.parent, ignore_errors=True)
        shutil.rmtree(folder)


@contextmanager
def _broker(kind: str, home: Home) -> Iterator[Server]:
    if kind == EMBEDDED:
        embedded = broker.prepare(home)
        with running(embedded.program, embedded.is_ready):
            version = ask(Path(embedded.program.argv[0]), "--version").strip().capitalize()
            yield Server(embedded.address, f"{version}, in memory", embedded=True)
    else:
        cluster = prepare_kafka(home, fetch())
        with running(cluster.nodes[0].program, cluster.is_ready):
            yield Server(cluster.address, "Apache Kafka, one broker")


async def _make_template(dsn: str) -> None:
    await execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    await migrate(beside(dsn, TEMPLATE))
