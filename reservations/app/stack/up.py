"""Run the whole service on this machine: Postgres, broker, worker and gateway, from start to stop."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp

from reservations.app.settings import Settings
from reservations.app.settings.kafka_security import Protocol
from reservations.app.stack import broker, postgres, tokens
from reservations.app.stack.addresses import Address, Readiness, listen_at, summary
from reservations.app.stack.home import LOOPBACK, Home
from reservations.app.stack.programs import Program, StackError, complete
from reservations.app.stack.supervisor import Child, Say, Supervisor, say

READY_LIMIT_S = 30
SERVER_READY_LIMIT_S = 60  # a server that was killed replays its log first
SERVICE_STOP_LIMIT_S = 3
SIMULATION_STOP_LIMIT_S = 0.5

EMBEDDED_BROKER = {
    "KAFKA_ENABLE_IDEMPOTENCE": "false",
    "KAFKA_FETCH_WAIT_MS": "10",
    "KAFKA_SESSION_TIMEOUT_S": "6",
    "KAFKA_REBALANCE_TIMEOUT_S": "2",
}


def service(command: str) -> tuple[str, ...]:
    """Return the command line of one of the service's commands."""
    return (sys.executable, "-m", "reservations.app.cli", command)


@dataclass(frozen=True)
class Commands:
    """The command lines of the service that the stack runs."""

    migrate: tuple[str, ...] = field(default_factory=lambda: service("migrate"))
    topics: tuple[str, ...] = field(default_factory=lambda: service("topics"))
    worker: tuple[str, ...] = field(default_factory=lambda: service("worker"))
    gateway: tuple[str, ...] = field(default_factory=lambda: service("gateway"))
    neighbours: tuple[str, ...] = (sys.executable, "-m", "reservations.app.stack.neighbours")
    payments: tuple[str, ...] = (sys.executable, "-m", "reservations.app.stack.payments")


async def up(settings: Settings, commands: Commands | None = None, say: Say = say) -> int:
    """Run the service until SIGINT, SIGTERM or SIGHUP; return the exit status."""
    stop = asyncio.Event()
    with stopping_on(stop):
        try:
            home = Home(settings.reservations_home)
            with home.locked():
                await Stack(settings, commands or Commands(), home, say).run(stop)
        except StackError as error:
            say(f"\n{error}")
            return 1
        except OSError as error:
            say(f"\nThe state folder {settings.reservations_home} is not usable: {error}")
            return 1
    return 0


@contextmanager
def stopping_on(stop: asyncio.Event) -> Iterator[None]:
    """Let the signals that ask a program to end set `stop`."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Stack:
    """The servers and programs of one state folder."""

    def __init__(self, settings: Settings, commands: Commands, home: Home, say: Say) -> None:
        """Keep what is needed; nothing is started."""
        self.settings = settings
        self.commands = commands
        self.home = home
        self.supervisor = Supervisor(say)
        self.env = dict(os.environ)
        self.simulated = False
        self._say = say

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, run until `stop`, and stop everything, whatever happened before."""
        starting, stopped = asyncio.create_task(self._start()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                await stopped
        finally:
            for task in (starting, stopped):
                task.cancel()
            await asyncio.wait({starting})
            await self._stop()

    async def _stop(self) -> None:
        began = time.monotonic()
        self._say(f"Stopping {', '.join(reversed(self.supervisor.children)) or 'before anything was started'}")
        await self.supervisor.stop()
        self._say(f"Stopped in {time.monotonic() - began:.1f} s.")

    async def _start(self) -> None:
        gateway, worker = self._addresses()
        access = tokens.access(self.settings, self.home)
        self.env |= access
        await self._start_postgres()
        await self._start_broker()
        env_file = self.home.write_env({k: self.env[k] for k in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")})
        async with self._step("Database schema"):
            await complete(self._program("migrate", self.commands.migrate))
        await self._create_topics()
        await self._start_neighbours()
        children = {
            "worker": self.supervisor.keep(self._program("worker", self.commands.worker)),
            "gateway": self.supervisor.keep(self._program("gateway", self.commands.gateway)),
        }
        await self._ready(children["worker"], worker)
        await self._ready(children["gateway"], gateway)
        if self.simulated:
            self.env["GATEWAY_URL"] = gateway.url
            self.env["TOKEN_KEY_FILE"] = str(self.home.path / tokens.KEY_FILE)
            self.supervisor.keep(
                self._program("payments", self.commands.payments, stop_limit_s=SIMULATION_STOP_LIMIT_S)
            )
        self._say(summary(self.home, gateway, worker, self.env, env_file, simulated=self.simulated))
        self._say(f"  Access      {tokens.said(access)}\n")

    def _addresses(self) -> tuple[Address, Address]:
        """Return where gateway and worker listen, and tell them so."""
        at = self.settings
        gateway = listen_at(at.reservations_http_host, at.reservations_http_port, "RESERVATIONS_HTTP_PORT")
        worker = listen_at(
            at.reservations_worker_http_host, at.reservations_worker_http_port, "RESERVATIONS_WORKER_HTTP_PORT"
        )
        if gateway == worker:
            raise StackError(f"Gateway and worker can't both listen on {gateway.host}:{gateway.port}.")
        self.env |= {
            "RESERVATIONS_HTTP_HOST": gateway.host,
            "RESERVATIONS_HTTP_PORT": str(gateway.port),
            "RESERVATIONS_WORKER_HTTP_HOST": worker.host,
            "RESERVATIONS_WORKER_HTTP_PORT": str(worker.port),
            "STOP_DEADLINE_S": str(SERVICE_STOP_LIMIT_S * 0.9),
        }
        return gateway, worker

    async def _start_postgres(self) -> None:
        given = self.settings.database_url
        if given and not postgres.is_own(self.home, given):
            self.env["DATABASE_URL"] = given
            return
        async with self._step("PostgreSQL"):
            server = await postgres.prepare(self.home)
            if server.took_over:
                self._say("  stopped the PostgreSQL of an earlier run, which was still there")
            self._say(f"  {server.installation}, data in {server.data}")
            child = self.supervisor.keep(server.program)
            await self.supervisor.until(child, server.is_ready, SERVER_READY_LIMIT_S)
        self.env["DATABASE_URL"] = server.dsn

    async def _start_broker(self) -> None:
        given = self.settings.kafka_bootstrap_servers
        if given and not broker.is_own(self.home, given):
            self.env["KAFKA_BOOTSTRAP_SERVERS"] = given
            return
        if self.settings.kafka_security_protocol != Protocol.PLAINTEXT:
            raise StackError("The broker of `make run` knows no logins: unset KAFKA_SECURITY_PROTOCOL and the like.")
        server = broker.prepare(self.home)
        # What talks to a real broker must not hear of simulated payments.
        self.simulated = self.settings.simulate_neighbours
        self.env |= EMBEDDED_BROKER | {"KAFKA_BOOTSTRAP_SERVERS": server.address}

        async def again() -> None:
            await self.supervisor.until(child, server.is_ready, READY_LIMIT_S)
            await self._create_topics()
            self.supervisor.restart("worker", "gateway", *(["payments"] if self.simulated else []))

        async with self._step("Broker"):
            self._say("  Tansu, in memory: its topics are gone when it stops")
            child = self.supervisor.keep(server.program, again)
            await self.supervisor.until(child, server.is_ready, READY_LIMIT_S)

    async def _create_topics(self) -> None:
        async with self._step("Topics"):
            await complete(self._program("topics", self.commands.topics))

    async def _start_neighbours(self) -> None:
        """Start the simulated guest profiles and trip catalog for those whose real addresses are not set."""
        if not self.simulated:
            return
        address = Address(LOOPBACK, self.home.port("neighbours"))
        urls = {"GUEST_PROFILES_URL": "guest-profiles", "TRIP_CATALOG_URL": "trip-catalog"}
        missing = {name: f"{address.url}/{path}" for name, path in urls.items() if not self.env.get(name)}
        if missing:
            argv = (*self.commands.neighbours, "--port", str(address.port))
            program = self._program("neighbours", argv, SIMULATION_STOP_LIMIT_S)
            await self._ready(self.supervisor.keep(program), address)
            self.env |= missing

    async def _ready(self, child: Child, address: Address) -> None:
        name = child.program.name
        async with self._step(name.capitalize()), aiohttp.ClientSession() as session:
            readiness = Readiness(session, f"{address.url}/health/ready", lambda text: self._say(f"  {name}: {text}"))
            await self.supervisor.until(child, readiness.is_ready, READY_LIMIT_S)

    def _program(self, name: str, argv: tuple[str, ...], stop_limit_s: float = SERVICE_STOP_LIMIT_S) -> Program:
        log = self.home.log(name)
        return Program(name=name, argv=argv, env=self.env, output=log, echo=True, stop_limit_s=stop_limit_s)

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        began = time.monotonic()
        self._say(f"{name} …")
        yield
        self._say(f"{name} ready ({time.monotonic() - began:.1f} s)")
