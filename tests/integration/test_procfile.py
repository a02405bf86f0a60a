"""The Procfile on servers of somebody else: one command prepares them and runs several gateways and workers."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.bookings import a_booking
from tests.conditions import eventually
from tests.conftest import prefix, quirks
from tests.servers import Servers
from tests.stack_run import descendants

ROOT = Path(__file__).parents[2]
BOOKINGS = 20


async def test_honcho_prepares_the_servers_and_runs_gateways_and_workers(
    servers: Servers, empty_database: str, free_port: int, tmp_path: Path
) -> None:
    programs = Path(sys.executable).parent
    settings = {
        "DATABASE_URL": empty_database,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix(),
        "KAFKA_PARTITIONS": "4",
        "KAFKA_REBALANCE_TIMEOUT_S": "2",
        "AUTH": "off",
        "RESERVATIONS_HTTP_PORT": str(free_port),
        "RESERVATIONS_WORKER_HTTP_PORT": "0",
        "POOL_MIN_SIZE": "2",
        "PATH": f"{programs}:{os.environ['PATH']}",
        **quirks(servers),
    }
    output = (tmp_path / "honcho.log").open("wb")
    command = [str(programs / "honcho"), "-f", str(ROOT / "Procfile"), "-d", str(tmp_path), "start"]
    honcho = await asyncio.create_subprocess_exec(
        *command, "--concurrency", "web=2,worker=2", env=os.environ | settings, stdout=output, stderr=output
    )
    try:
        await book_on(f"http://127.0.0.1:{free_port}", tmp_path / "honcho.log")
        await survive_kills(honcho.pid, f"http://127.0.0.1:{free_port}", tmp_path / "honcho.log")
        assert honcho.returncode is None
    finally:
        honcho.send_signal(signal.SIGTERM)
        await asyncio.wait_for(honcho.wait(), 15)
        output.close()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PORT": "5201"}, "5201"),  # honcho gives each process one of its own
        ({"PORT": "5201", "RESERVATIONS_WORKER_HTTP_PORT": "8081"}, "8081"),
        ({}, "0"),
    ],
)
def test_a_worker_listens_where_the_operator_can_know(variables: dict[str, str], expected: str, tmp_path: Path) -> None:
    program = tmp_path / "reservations"
    program.write_text("#!/bin/sh\necho $RESERVATIONS_WORKER_HTTP_PORT for $*\n")
    program.chmod(0o755)
    (line,) = [each for each in (ROOT / "Procfile").read_text().splitlines() if each.startswith("worker: ")]
    command = ["sh", "-c", line.removeprefix("worker: ")]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == f"{expected} for keep worker\n"


async def book_on(url: str, log: Path) -> None:
    """Book until every process has said that it is there, each time over a connection of its own."""

    async def is_ready() -> bool:
        return await status("GET", f"{url}/health/ready") == 200 and len(lines(log, '"working"')) == 2

    await eventually(is_ready, limit_s=60)
    booked = [await status("POST", f"{url}/reservations", a_booking(guest_id=str(uuid4()))) for _ in range(BOOKINGS)]
    assert booked == [201] * BOOKINGS
    gateways = {line.split("|")[0].split()[-1] for line in lines(log, '"POST"')}
    assert gateways == {"web.1", "web.2"}


async def survive_kills(honcho: int, url: str, log: Path) -> None:
    """Kill a worker and a gateway, and book until new ones are there."""
    for name, event in (("worker", '"working"'), ("gateway", '"listening"')):
        before = len(lines(log, event))
        os.kill(processes(honcho, name)[0], signal.SIGKILL)

        async def is_back(event: str = event, before: int = before) -> bool:
            booked = await status("POST", f"{url}/reservations", a_booking(guest_id=str(uuid4())))
            return booked == 201 and len(lines(log, event)) > before

        await eventually(is_back, limit_s=60)
        assert len(processes(honcho, name)) == 2


def processes(honcho: int, name: str) -> list[int]:
    """Return the workers or gateways among the processes below honcho."""
    command = f"-m reservations.app.cli {name}"
    pids = ",".join(map(str, descendants(honcho)))
    shown = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "-p", pids], capture_output=True, text=True, check=True)
    return [int(line.split()[0]) for line in shown.stdout.splitlines() if line.endswith(command)]


def lines(log: Path, text: str) -> list[str]:
    """Return the lines of a log that hold a text."""
    return [line for line in log.read_text().splitlines() if text in line]


async def status(method: str, address: str, body: object = None) -> int:
    """Return the status of an answer, 0 when there is none."""
    connector = aiohttp.TCPConnector(force_close=True)
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, address, json=body) as response,
        ):
            return response.status
    except aiohttp.ClientConnectionError:
        return 0
