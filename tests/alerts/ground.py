"""What alerts are tried on: a worker and a gateway on a broker of their own, callers who go on, and Prometheus."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from reservations.app.stack import broker
from reservations.app.stack.home import Home
from tests.alerts.prometheus import Prometheus, a_prometheus
from tests.bookings import a_booking
from tests.conftest import prefix
from tests.databases import scratch_database
from tests.own_service import QUICK
from tests.servers import Servers, until_ready
from tests.service import Process, Service, a_service, complete

CALLERS, PACE_S = 6, 0.5
SETTINGS = {**QUICK, "KAFKA_ENABLE_IDEMPOTENCE": "false", "BACKLOG_CHECK_S": "0.5", "COMMAND_TIMEOUT_S": "2"}


@dataclass
class OwnBroker:
    """An embedded broker that can be killed and started again; what it held is gone then."""

    server: broker.Broker
    running: "subprocess.Popen[bytes] | None" = field(default=None)

    async def start(self) -> None:
        """Start it; return when it answers."""
        self.running = self._launch()
        await until_ready(self.running, self.server.program, self.server.is_ready)

    def _launch(self) -> "subprocess.Popen[bytes]":
        program = self.server.program
        with program.output.open("ab") as log:
            return subprocess.Popen(
                program.command(),
                env=program.env,
                cwd=program.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def kill(self) -> None:
        """End it as a crash would."""
        if self.running:
            self.running.kill()
            await asyncio.to_thread(self.running.wait)


@dataclass(slots=True)
class Site:
    """A service with callers, and the Prometheus that watches it."""

    service: Service
    worker: Process
    broker: OwnBroker
    prometheus: Prometheus

    async def start_a_worker(self) -> None:
        """Start a worker in the place of the one before."""
        self.worker = kept_worker(self.service)
        await self.service.ready(self.worker)

    async def bring_back_the_broker(self) -> None:
        """Start the broker again, and make the topics that it lost."""
        await self.broker.start()
        await complete("topics", self.service.variables())


def kept_worker(service: Service) -> Process:
    """Start a worker that is started again when it ends, as it does when its topics are gone."""
    return replace(service, program=(*service.program, "keep")).launch("worker")


@asynccontextmanager
async def a_site(program: str, servers: Servers, template: str, folder: Path) -> AsyncIterator[Site]:
    """Give a service that is watched, and that callers use."""
    home = Home(folder)
    own = OwnBroker(broker.prepare(home))
    settings = {**SETTINGS, "RESERVATIONS_WORKER_HTTP_PORT": str(home.port("worker"))}
    await own.start()
    try:
        async with (
            scratch_database(servers.database_url, template) as database,
            a_service(database, own.server.address, prefix(), folder, settings) as service,
        ):
            worker, gateway = kept_worker(service), service.launch("gateway")
            await asyncio.gather(service.ready(worker), service.ready(gateway))
            targets = {
                "reservations-worker": urlsplit(str(worker.url())).netloc,
                "reservations-gateway": urlsplit(str(gateway.url())).netloc,
            }
            async with a_prometheus(program, home, targets, service.session) as prometheus, calling(service):
                yield Site(service, worker, own, prometheus)
    finally:
        await own.kill()


@asynccontextmanager
async def calling(service: Service) -> AsyncIterator[None]:
    """Let callers book and read until the block ends, whatever they are answered."""
    ended = asyncio.Event()

    async def call() -> None:
        while not ended.is_set():
            await service.ask("POST", "/reservations", json=a_booking())
            await service.ask("GET", "/reservations", params={"size": 1})
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), PACE_S)

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(call())
        try:
            yield
        finally:
            ended.set()
