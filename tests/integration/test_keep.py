"""`reservations keep`: a process that ends is started again, and stopping is passed on."""

import os
import signal
import subprocess
import sys
from typing import Any

from tests.conditions import eventually
from tests.service import Process, Service
from tests.stack_run import alive, descendants


def keeping(service: Service, name: str) -> Process:
    """Start a process that keeps a worker or gateway running."""
    log = service.folder / f"keep-{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "reservations.app.cli", "keep", name],
            env={**os.environ, **service.variables()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    process = Process("keeper", popen, log)
    service.processes.append(process)
    return process


async def said(process: Process, event: str, count: int = 1) -> dict[str, Any]:
    """Wait until an event was logged so often; return the last line that tells it."""

    async def look() -> list[dict[str, Any]]:
        found = [line for line in process.lines() if line["event"] == event]
        return found if len(found) == count else []

    return (await eventually(look, limit_s=30))[-1]


async def test_a_process_that_ends_is_started_again_and_stopping_is_passed_on(own_service: Service) -> None:
    keeper = keeping(own_service, "gateway")
    await said(keeper, "listening")
    (child,) = descendants(keeper.popen.pid)
    os.kill(child, signal.SIGKILL)
    address = (await said(keeper, "listening", 2))["url"]
    assert (await said(keeper, "restart"))["message"].startswith("gateway ended (killed by SIGKILL)")
    assert (await own_service.ask("GET", f"{address}/health/live"))[0] == 200
    (child,) = descendants(keeper.popen.pid)
    assert await keeper.stop() == 0
    assert [line["event"] for line in keeper.lines()][-1] == "stopping"
    assert alive([child]) == []


async def test_wrong_settings_are_told_and_not_tried_again(own_service: Service) -> None:
    own_service.database_url = ""
    keeper = keeping(own_service, "worker")
    assert await keeper.ended() == 1
    assert keeper.raw_lines() == ["Set DATABASE_URL; `make run` starts its own servers and needs neither."]


async def test_a_gateway_that_is_stopped_before_its_servers_are_there_ends_in_order(own_service: Service) -> None:
    own_service.database_url = "postgresql://nobody@127.0.0.1:1/nothing"
    gateway = own_service.launch("gateway")
    await said(gateway, "server_away")
    assert await gateway.stop() == 0
    assert "Traceback" not in gateway.log.read_text()
