"""Postgres or the broker away, cut off or silent: what can be served is served, and nothing needs a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import pytest

from reservations.app.stack import broker
from reservations.app.stack.home import LOOPBACK, Home
from reservations.models.topics import RESULTS
from tests.apache_kafka.cluster import prepare
from tests.bookings import a_booking, book, decoded
from tests.conditions import eventually
from tests.conftest import prefix
from tests.databases import scratch_database
from tests.proxy import Proxy, a_proxy
from tests.servers import Servers, already, running
from tests.service import Process, Service, a_service

Outage = Literal["cut", "stall"]

REFUSED_WITHIN_S = 8.0
RECOVERED_WITHIN_S = 15.0
PATIENT = 60.0
WATCHDOG_S = 8
ENVIRONMENT = {"COMMAND_TIMEOUT_S": "1", "STATEMENT_TIMEOUT_S": "1", "WATCHDOG_S": str(WATCHDOG_S)}


@dataclass(frozen=True, slots=True)
class Site:
    """A running service, and the proxies between it and its servers."""

    service: Service
    worker: Process
    gateway: Process
    postgres: Proxy
    kafka: Proxy

    async def health(self, process: Process) -> tuple[int, Any]:
        """Return status and body of a process's readiness."""
        status, body, _ = await self.service.ask("GET", f"{process.url()}/health/ready")
        return status, body

    async def becomes(self, process: Process, status: int, *failing: str) -> None:
        """Wait until a process's readiness has this status, and these checks fail, maybe others too."""

        async def look() -> bool:
            found, body = await self.health(process)
            troubles = {name for name, said in body["checks"].items() if said != "ok"}
            return found == status and troubles >= set(failing) and bool(troubles) == bool(failing)

        await eventually(look, limit_s=PATIENT, every_s=0.1)

    async def recovers(self) -> None:
        """Wait until a write is answered with its result and can be read, and both processes are ready again."""

        async def writes() -> bool:
            status, _, _ = await self.service.ask("POST", "/reservations", json=a_booking())
            return status == 201

        await eventually(writes, limit_s=RECOVERED_WITHIN_S, every_s=0.1)
        for process in (self.worker, self.gateway):
            await self.becomes(process, 200)
            assert process.popen.poll() is None


async def fail(proxy: Proxy, outage: Outage) -> None:
    """Let a server be away."""
    if outage == "cut":
        await proxy.cut()
    else:
        proxy.stall()


@pytest.fixture(scope="module")
async def site(
    servers: Servers, kafka_libraries: Path | None, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """Give a service that reaches its servers through proxies alone; its broker is one of its own."""
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("outages")
        database = await stack.enter_async_context(scratch_database(servers.database_url, template))
        parts = urlsplit(database)
        postgres = await stack.enter_async_context(a_proxy(parts.hostname or "", parts.port or 5432))
        kafka = await stack.enter_async_context(advertised(kafka_libraries, folder))
        netloc = f"{parts.netloc.rpartition('@')[0]}@{postgres.address}"
        address = urlunsplit(parts._replace(netloc=netloc))
        environment = {**ENVIRONMENT, "KAFKA_ENABLE_IDEMPOTENCE": str(kafka_libraries is not None).lower()}
        service = await stack.enter_async_context(a_service(address, kafka.address, prefix(), folder, environment))
        worker = service.launch("worker")
        gateway = await service.start("gateway")
        await service.ready(worker)
        yield Site(service, worker, gateway, postgres, kafka)
        await asyncio.gather(postgres.restore(), kafka.restore())


def advertised(libraries: Path | None, folder: Path) -> AbstractAsyncContextManager[Proxy]:
    """Give a proxy to a broker of its own, of the kind that the run is against, that sends its clients to the proxy."""
    return advertised_kafka(libraries, Home(folder)) if libraries else advertised_tansu(Home(folder))


@asynccontextmanager
async def advertised_kafka(libraries: Path, home: Home) -> AsyncIterator[Proxy]:
    """Give a proxy to an Apache Kafka."""
    async with a_proxy(LOOPBACK, home.port("kafka-proxied-0")) as proxy:
        cluster = prepare(home, libraries, advertised=[proxy.address])
        with running(cluster.nodes[0].program, cluster.is_ready):
            yield proxy


@asynccontextmanager
async def advertised_tansu(home: Home) -> AsyncIterator[Proxy]:
    """Give a proxy to a Tansu."""
    server = broker.prepare(home)
    host, port = server.address.split(":")
    async with a_proxy(host, int(port)) as proxy:
        *arguments, _, _, option, storage = server.program.argv
        argv = [*arguments, "--advertised-listener-url", f"tcp://{proxy.address}", option, storage]
        # Readiness is asked through the proxy, which needs this event loop; so not while it is being started.
        with running(replace(server.program, argv=argv), already):
            await eventually(server.is_ready)
            yield proxy


@pytest.mark.parametrize("outage", ["cut", "stall"])
async def test_without_the_broker_writes_are_refused_at_once_and_reads_go_on(site: Site, outage: Outage) -> None:
    service = site.service
    made = await book(service)
    await fail(site.kafka, outage)
    begun = monotonic()
    refusing = asyncio.create_task(service.ask("POST", "/reservations", json=a_booking()))
    assert (await service.ask("GET", f"/reservations/{made['id']}"))[:2] == (200, made)
    status, refusal, headers = await refusing
    assert monotonic() - begun < REFUSED_WITHIN_S
    assert (status, refusal["error"], int(headers["Retry-After"]) > 0) == (503, "BROKER_UNAVAILABLE", True)
    await site.becomes(site.gateway, 200, "kafka")
    await site.becomes(site.worker, 503, "kafka")
    assert (await site.health(site.gateway))[1]["status"] == "degraded"
    assert (await service.ask("GET", "/reservations", params={"guest_id": made["guest_id"]}))[1]["content"] == [made]
    await until_backlog_is_known(service, False)
    await site.kafka.restore()
    await site.recovers()
    await until_backlog_is_known(service, True)


async def until_backlog_is_known(service: Service, known: bool) -> None:
    """Wait until the gateway shows how many commands wait, or that it does not know."""

    async def look() -> bool:
        _, text, _ = await service.ask("GET", "/metrics")
        return ("\nreservations_command_backlog " in text) == known

    await eventually(look, limit_s=PATIENT, every_s=0.1)


@pytest.mark.parametrize("outage", ["cut", "stall"])
async def test_without_postgres_writes_are_accepted_and_applied_later_and_reads_are_refused(
    site: Site, outage: Outage
) -> None:
    service = site.service
    made = await book(service)
    await fail(site.postgres, outage)
    wanted = [a_booking() for _ in range(3)]
    accepted = await asyncio.gather(
        *(service.ask("POST", "/reservations", json=each) for each in wanted),
        service.ask("PATCH", f"/reservations/{made['id']}", json={"party_size": 5, "_rev": 1}),
    )
    assert [(status, body["status"]) for status, body, _ in accepted] == [(202, "PENDING")] * 4
    assert all(int(headers["Retry-After"]) > 0 for _, _, headers in accepted)
    paths = (f"/reservations/{made['id']}", "/reservations", accepted[0][2]["Location"])
    for status, refusal, headers in await asyncio.gather(*(service.ask("GET", path) for path in paths)):
        assert (status, refusal["error"], int(headers["Retry-After"]) > 0) == (503, "DATABASE_UNAVAILABLE", True)
    await site.becomes(site.gateway, 200, "postgres")
    await site.becomes(site.worker, 503, "postgres", "intake")
    assert (await site.health(site.gateway))[1]["status"] == "degraded"
    await site.postgres.restore()
    for booking, (_, _, headers) in zip([*wanted, made], accepted, strict=True):
        result = await applied(service, headers["Location"])
        assert result["reservation"]["guest_id"] == booking["guest_id"]
        found = (await service.ask("GET", "/reservations", params={"guest_id": booking["guest_id"]}))[1]
        assert found["content"] == [result["reservation"]]
    assert found["content"][0]["party_size"] == 5
    await site.recovers()


async def applied(service: Service, location: str) -> Any:
    """Wait until a command that was accepted is applied; return its result."""

    async def look() -> Any:
        status, command, _ = await service.ask("GET", location)
        return command["result"] if status == 200 and command["status"] == "APPLIED" else None

    return await eventually(look, limit_s=RECOVERED_WITHIN_S, every_s=0.1)


async def test_without_both_neither_is_ready_and_all_is_well_again_when_they_are_back(site: Site) -> None:
    await asyncio.gather(site.kafka.cut(), site.postgres.cut())
    await site.becomes(site.gateway, 503, "kafka", "postgres")
    await site.becomes(site.worker, 503, "kafka", "postgres")
    for process in (site.gateway, site.worker):
        assert (await site.service.ask("GET", f"{process.url()}/health/live"))[0] == 200
    await asyncio.gather(site.kafka.restore(), site.postgres.restore())
    await site.recovers()


@pytest.mark.parametrize("outage", ["cut", "stall"])
async def test_postgres_may_be_away_for_longer_than_the_watchdog_waits(site: Site, outage: Outage) -> None:
    await fail(site.postgres, outage)
    accepted = await accept(site)
    await until_tried_for_long(site, "Postgres")
    await site.postgres.restore()
    await applied(site.service, accepted)
    await site.recovers()


@pytest.mark.parametrize("outage", ["cut", "stall"])
async def test_the_broker_may_be_away_for_longer_than_the_watchdog_waits(site: Site, outage: Outage) -> None:
    await site.postgres.cut()
    accepted = await accept(site)
    await site.becomes(site.worker, 503, "intake")
    await fail(site.kafka, outage)
    await site.postgres.restore()
    await applied(site.service, accepted)
    await stays(site)
    await site.kafka.restore()
    await told(site.service, accepted)
    await site.recovers()


async def accept(site: Site) -> str:
    """Have a command accepted; return where its status can be read."""
    prefer = {"Prefer": "respond-async"}
    status, _, headers = await site.service.ask("POST", "/reservations", json=a_booking(), headers=prefer)
    assert status == 202
    return headers["Location"]


async def until_tried_for_long(site: Site, server: str) -> None:
    """Wait until the worker has tried to reach a server for half as long again as its watchdog waits."""
    before = len(site.worker.lines())

    async def look() -> bool:
        assert site.worker.popen.poll() is None, site.worker.log.read_text()[-3000:]
        tries = [line for line in site.worker.lines()[before:] if line.get("server") == server]
        times = [datetime.fromisoformat(line["timestamp"]) for line in (*tries[:1], *tries[-1:])]
        return bool(times) and (times[-1] - times[0]).total_seconds() > 1.5 * WATCHDOG_S

    await eventually(look, limit_s=PATIENT, every_s=0.1)


async def stays(site: Site) -> None:
    """See the worker live for half as long again as its watchdog waits: an idempotent producer tells of no attempt."""
    end = monotonic() + 1.5 * WATCHDOG_S

    async def look() -> bool:
        assert site.worker.popen.poll() is None, site.worker.log.read_text()[-3000:]
        return monotonic() > end

    await eventually(look, limit_s=PATIENT, every_s=0.1)


async def told(service: Service, location: str) -> None:
    """Wait until the result of a command that was accepted is on its topic."""

    async def look() -> bool:
        results = decoded(await service.read(RESULTS.name))
        return location.endswith(tuple(each["command_id"] for each in results))

    await eventually(look, limit_s=RECOVERED_WITHIN_S, every_s=0.1)
