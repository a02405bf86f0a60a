"""The PostgreSQL and the broker that tests run against: given by environment, in Docker, or embedded."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from reservations.app.stack import broker, postgres
from reservations.app.stack.home import Home
from reservations.app.stack.installations import ask
from reservations.app.stack.programs import Program, last_lines

Result = TypeVar("Result")

READY_LIMIT_S = 60
DOCKER_LIMIT_S = 5
POSTGRES_IMAGE = "postgres:15"
KAFKA_IMAGE = "confluentinc/cp-kafka:7.6.0"  # the family of images that testcontainers knows how to start


@dataclass(frozen=True)
class Servers:
    """Where the servers are, and the settings that the broker demands."""

    database_url: str
    kafka_bootstrap_servers: str
    kafka_demands: Mapping[str, str]
    is_embedded_broker: bool


@dataclass(frozen=True)
class Server:
    """One server: its address and what it is."""

    address: str
    description: str
    embedded: bool = False

    @property
    def kafka_demands(self) -> dict[str, str]:
        """Return what a broker demands: Tansu lacks idempotent producers, Apache Kafka refuses shorter sessions.

        Most processes of the tests wait for their turn, and Tansu answers each of their fetches: seldom is soon enough.
        """
        seldom = {"KAFKA_ENABLE_IDEMPOTENCE": "false", "KAFKA_FETCH_WAIT_MS": "60"}
        return seldom if self.embedded else {"KAFKA_SESSION_TIMEOUT_S": "6"}


@cache
def engine_answers() -> bool:
    """Tell whether a Docker engine can be used; asked in a process of its own, which may leave sockets open."""
    ask_it = "import docker; docker.from_env(timeout=3).ping()"
    try:
        asked = subprocess.run([sys.executable, "-c", ask_it], capture_output=True, timeout=DOCKER_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


@contextmanager
def a_postgres(home: Home) -> Iterator[Server]:
    """Give a PostgreSQL: the one of TEST_DATABASE_URL, else one in Docker where an engine answers, else embedded.

    Enter this from the main thread.
    """
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield Server(given, f"PostgreSQL at {urlsplit(given).hostname} (TEST_DATABASE_URL)")
    elif engine_answers():
        with postgres_container() as server:
            yield server
    else:
        with embedded_postgres(home) as server:
            yield server


@contextmanager
def a_broker(home: Home) -> Iterator[Server]:
    """Give a broker: that of TEST_KAFKA_BOOTSTRAP_SERVERS, else one in Docker where an engine answers, else embedded.

    Enter this from the main thread.
    """
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield Server(given, f"Kafka at {given} (TEST_KAFKA_BOOTSTRAP_SERVERS)")
    elif engine_answers():
        with kafka_container() as server:
            yield server
    else:
        with embedded_broker(home) as server:
            yield server


@contextmanager
def postgres_container() -> Iterator[Server]:
    """Give a PostgreSQL in Docker."""
    from testcontainers.community.postgres import PostgresContainer

    command = "postgres -c max_connections=200 -c max_locks_per_transaction=256 -c timezone=UTC -c fsync=off"
    with PostgresContainer(POSTGRES_IMAGE, driver=None).with_command(command) as container:
        yield Server(container.get_connection_url(), f"{POSTGRES_IMAGE} (Docker)")


@contextmanager
def kafka_container() -> Iterator[Server]:
    """Give an Apache Kafka in Docker."""
    from testcontainers.community.kafka import KafkaContainer

    with KafkaContainer(KAFKA_IMAGE).with_kraft() as container:
        yield Server(container.get_bootstrap_server(), f"{KAFKA_IMAGE} (Docker)")


@contextmanager
def embedded_postgres(home: Home) -> Iterator[Server]:
    """Give an embedded PostgreSQL that does not wait for its disk."""
    server = apart(postgres.prepare(home, durable=False))
    try:
        with running(server.program, server.is_ready):
            made = server.installation
            yield Server(server.dsn, f"PostgreSQL {made.version} (embedded, {made.origin})", embedded=True)
    finally:
        # As root it may lie outside of the folder given.
        shutil.rmtree(server.data.parent, ignore_errors=True)


@contextmanager
def embedded_broker(home: Home) -> Iterator[Server]:
    """Give an embedded broker."""
    server = broker.prepare(home)
    with running(server.program, server.is_ready):
        version = ask(Path(server.program.argv[0]), "--version").strip().capitalize()
        yield Server(server.address, f"{version} (embedded)", embedded=True)


@contextmanager
def running(program: Program, is_ready: Callable[[], Awaitable[bool]]) -> Iterator[None]:
    """Run a program until the block ends, once it is ready."""
    with program.output.open("ab") as log:
        process = subprocess.Popen(
            program.command(),
            env=program.env,
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        apart(until_ready(process, program, is_ready))
        yield
    finally:
        stop(process, program)


async def already() -> bool:
    """Tell that nothing is waited for."""
    return True


async def until_ready(
    process: subprocess.Popen[bytes], program: Program, is_ready: Callable[[], Awaitable[bool]]
) -> None:
    """Wait until the program is ready; fail with its last lines if it ends or takes too long."""
    deadline = time.monotonic() + READY_LIMIT_S
    while not await is_ready():
        ending = "\n".join(last_lines(program.output))
        assert process.poll() is None, f"{program.name} ended with {process.returncode}:\n{ending}"
        assert time.monotonic() < deadline, f"{program.name} is not ready after {READY_LIMIT_S} s:\n{ending}"
        await asyncio.sleep(0.02)


def stop(process: subprocess.Popen[bytes], program: Program) -> None:
    """End a program, politely first."""
    for number in program.stop_signals:
        process.send_signal(number)
        try:
            process.wait(program.stop_limit_s)
        except subprocess.TimeoutExpired:
            continue
        return
    process.wait()


def apart(work: Coroutine[None, None, Result]) -> Result:
    """Run a coroutine to its end in a thread and an event loop of its own, whatever loop the caller has."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
