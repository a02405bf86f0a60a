"""What tests stand on: servers for the whole run, databases and topics of their own, the service as processes."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog

from reservations.app.stack.home import Home
from tests.apache_kafka.libraries import KafkaUnavailableError, fetch
from tests.servers import Server, Servers, a_broker, a_postgres
from tests.service import Service, a_service
from tests.tokens import Issuer

pytest_plugins = ["tests.databases"]

SERVERS: pytest.StashKey[set[str]] = pytest.StashKey()


#: Files whose tests wait for processes, each of which takes half a minute or more.
LONG = (
    "test_crashes",
    "test_watchdog",
    "test_replay",
    "test_outages",
    "test_intake",
    "test_dead_letters",
    "test_embedded_stack",
    "test_procfile",
    "test_search",
    "test_authorization",
    "test_keep",
    "test_backpressure",
    "test_retired_months",
    "test_doctor",
    "test_payments",
    "test_seats",
    "test_slow_clients",
)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Give the Postgres of this run, or of this worker of it."""
    with a_postgres(Home(tmp_path_factory.mktemp("postgres"))) as found:
        note(request.config, found)
        yield found


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Give the broker of this run, or of this worker of it."""
    with a_broker(Home(tmp_path_factory.mktemp("broker"))) as found:
        note(request.config, found)
        yield found


@pytest.fixture(scope="session")
def kafka_libraries(broker: Server) -> Path | None:
    """Give what a test starts an Apache Kafka of its own from; None where the run is not against one, or lacks Java."""
    try:
        return None if broker.embedded else fetch()
    except KafkaUnavailableError:
        return None


@pytest.fixture(scope="session")
def servers(postgres: Server, broker: Server) -> Servers:
    """Give the addresses of both."""
    return Servers(postgres.address, broker.address, broker.kafka_demands, broker.embedded)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that nobody waits for it at the end, and mark what uses the run's broker."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker("broker")


def note(config: pytest.Config, server: Server) -> None:
    """Remember that tests ran against a server."""
    found: set[str] = config.stash[SERVERS]
    found.add(server.description)
    getattr(config, "workeroutput", {})["servers"] = sorted(found)


def pytest_configure(config: pytest.Config) -> None:
    """Prepare to remember what the tests ran against."""
    config.stash[SERVERS] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over from a worker of the run what its tests ran against."""
    found: set[str] = node.config.stash[SERVERS]
    found.update(getattr(node, "workeroutput", {}).get("servers", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers the tests ran against."""
    descriptions: set[str] = config.stash[SERVERS]
    if descriptions:
        terminalreporter.write_line(f"Ran against {', '.join(sorted(descriptions))}")


@pytest.fixture(scope="session")
async def service(
    servers: Servers, session_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Give a running service that tests share; each works on reservations of its own."""
    folder = tmp_path_factory.mktemp("service")
    async with a_service(session_database, servers.kafka_bootstrap_servers, prefix(), folder, quirks(servers)) as made:
        worker, gateway = made.launch("worker"), made.launch("gateway")
        await made.ready(worker)
        await made.ready(gateway)
        yield made


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Forget how a command that ran in this process configured its logs: it wrote to what is closed by now."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """Give the issuer whose tokens the guarded service believes."""
    return Issuer()


@pytest.fixture(scope="session")
async def guarded(
    servers: Servers, session_database: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Give a running service that asks for tokens; tests share it."""
    folder = tmp_path_factory.mktemp("guarded")
    environment = {**quirks(servers), **issuer.environment(folder), "RATE_LIMIT_PER_S": "10000", "RATE_BURST": "10000"}
    async with a_service(session_database, servers.kafka_bootstrap_servers, prefix(), folder, environment) as made:
        worker, gateway = made.launch("worker"), made.launch("gateway")
        await made.ready(worker)
        await made.ready(gateway)
        yield made


@pytest.fixture
async def own_service(servers: Servers, database: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a service of the test's own, of which nothing runs yet."""
    async with a_service(database, servers.kafka_bootstrap_servers, prefix(), tmp_path, quirks(servers)) as made:
        yield made


@pytest.fixture
def gateway_url(service: Service) -> str:
    """Give the address of a running gateway."""
    return service.gateway_url


@pytest.fixture
def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prefix() -> str:
    """Return a topic prefix that nothing else has."""
    return f"t{uuid4().hex[:8]}."


def quirks(servers: Servers) -> dict[str, str]:
    """Return the settings that the broker demands, whatever a test would like."""
    return dict(servers.kafka_demands)
