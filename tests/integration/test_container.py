"""The service as a hardened container runs it: another user, no rights, no shell, nothing to write to but /tmp.

It is the wheel and the service's lock, as in the image. CONTAINER_ROOT names the root of a built image to take instead.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bookings import book
from tests.conftest import prefix, quirks
from tests.jail import USER_ID, image, jailed, system_and, why_not
from tests.servers import Servers
from tests.service import Process, Service, a_service
from tests.stack_run import descendants

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

IMAGE_PROGRAMS = Path("/opt/reservations/bin")
LIMIT_S = 30

TRY_TO_WRITE = """
import os, pathlib, sys, tempfile
for folder in ("/", sys.prefix, os.path.dirname(os.__file__)):
    try:
        pathlib.Path(folder, "written").write_text("x")
    except OSError as error:
        print(error.strerror)
with tempfile.TemporaryFile() as file:
    file.write(b"x")
"""


@dataclass(frozen=True)
class Container:
    """Where programs run as in a container."""

    root: Sequence[str]
    programs: Path

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command that runs one of its programs."""
        return jailed(self.root, str(self.programs / program), *arguments)


@pytest.fixture(scope="module")
def container(request: pytest.FixtureRequest) -> Container:
    """Give the image named by CONTAINER_ROOT, else the installed wheel."""
    root = os.environ.get("CONTAINER_ROOT")
    if root:
        return Container(tuple(image(Path(root))), IMAGE_PROGRAMS)
    installed: Path = request.getfixturevalue("installation")
    return Container(tuple(system_and(installed)), installed / "bin")


@pytest.fixture
async def contained(
    servers: Servers, empty_database: str, container: Container, tmp_path: Path
) -> AsyncIterator[Service]:
    """Give a service of which every process runs in the container, released but not started."""
    settings = quirks(servers)
    async with a_service(empty_database, servers.kafka_bootstrap_servers, prefix(), tmp_path, settings) as service:
        service.program = container.command("reservations")
        code, output = await finish(service.program, "release", **service.variables())
        assert code == 0, output
        yield service


async def test_it_takes_and_shows_a_booking_and_ends_when_told(contained: Service, container: Container) -> None:
    processes = [await contained.start("worker"), await contained.start("gateway")]
    made = await book(contained)
    status, shown, _ = await contained.ask("GET", f"/reservations/{made['id']}")
    assert (status, shown["status"]) == (200, "CONFIRMED")
    assert (await contained.ask("GET", "/docs"))[0] == 200
    assert [await told_to_end(process) for process in processes] == [0, 0]


async def test_its_platform_hears_whether_it_is_alive(contained: Service, container: Container) -> None:
    process = await contained.start("gateway")
    port = contained.gateway_url.rpartition(":")[2]
    ports = {"RESERVATIONS_HTTP_PORT": port, "RESERVATIONS_WORKER_HTTP_PORT": "9"}
    asked = container.command("reservations")
    assert await finish(asked, "health", **ports) == (0, "")
    await told_to_end(process)
    assert await finish(asked, "health", **ports) == (1, "")


async def test_it_can_write_nowhere_but_to_tmp(container: Container) -> None:
    code, output = await finish(container.command("python"), "-c", TRY_TO_WRITE)
    assert (code, output.splitlines()) == (0, ["Read-only file system"] * 3)


async def test_it_has_no_rights_and_can_gain_none(container: Container) -> None:
    _, output = await finish(container.command("python"), "-c", "print(open('/proc/self/status').read())")
    said = dict(line.partition(":\t")[::2] for line in output.splitlines())
    assert said["Uid"].split() == [str(USER_ID)] * 4
    assert {said[name].strip("0") for name in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd")} == {""}
    assert said["NoNewPrivs"] == "1"


async def finish(command: Sequence[str], *arguments: str, **variables: str) -> tuple[int | None, str]:
    """Run a program to its end; return its exit status, and what it printed and complained of."""
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(LIMIT_S):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def told_to_end(process: Process) -> int:
    """Send SIGTERM to the process in the container, as its platform does; return its exit status."""
    (within,) = descendants(process.popen.pid)
    os.kill(within, signal.SIGTERM)
    return await process.ended()
