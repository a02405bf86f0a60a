"""Runs of the embedded stack in a process of its own, with small real programs in the place of the service's."""

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from reservations.app.stack.programs import User

Value = TypeVar("Value")

REPOSITORY = Path(__file__).parent.parent
STARTED = "Ctrl-C stops it"

SERVICE = """
import http.server, os, signal, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

    def log_message(self, *ignored):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ[sys.argv[1]])), Handler)
stubborn = os.environ.get("STUBBORN") == sys.argv[1]
signal.signal(signal.SIGTERM, lambda *_: stubborn or threading.Thread(target=server.shutdown).start())
print("listening with", os.environ["DATABASE_URL"].split("@")[1], flush=True)
server.serve_forever(poll_interval=0.05)
print("good bye", flush=True)
"""

TOPICS = """
import asyncio, os
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

async def main():
    client = AIOKafkaAdminClient(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    await client.start()
    await client.create_topics([NewTopic("made", 1, 1)])
    await client.close()

asyncio.run(main())
"""

DRIVER = """
import asyncio, json, os, sys
from reservations.app.settings import load_settings
from reservations.app.stack.up import Commands, up

commands = Commands(**{name: (sys.executable, *argv) for name, argv in json.loads(os.environ["COMMANDS"]).items()})
sys.exit(asyncio.run(up(load_settings(), commands)))
"""

COMMANDS = {
    "migrate": ["-c", "print('nothing to migrate')"],
    "topics": ["-c", TOPICS],
    "worker": ["-c", SERVICE, "RESERVATIONS_WORKER_HTTP_PORT"],
    "gateway": ["-c", SERVICE, "RESERVATIONS_HTTP_PORT"],
}


def eventually(get: Callable[[], Value], limit_s: float = 10) -> Value:
    """Return the first true value that `get` returns; fail when there is none in time."""
    deadline = time.monotonic() + limit_s
    while not (value := get()):
        assert time.monotonic() < deadline, f"not true after {limit_s} s"
        time.sleep(0.02)
    return value


def unused_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pids: list[int]) -> list[int]:
    """Return those of the processes that still run; the dead that nobody has waited for do not count."""
    if not pids:
        return []
    asked = ["ps", "-o", "pid=,stat=", "-p", ",".join(map(str, pids))]
    lines = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if not line.split()[1].startswith("Z")]


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [(int(line.split()[0]), int(line.split()[1])) for line in listed.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in pairs if its_parent == parent]
    return found[1:]


def python_for(user: User | None) -> tuple[str, str]:
    """Return a Python that the user may run, and where it finds the packages; skip the test without one."""
    packages = f"{REPOSITORY}{os.pathsep}{sysconfig.get_path('purelib')}"
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{minor}", f"/usr/local/bin/{minor}"):
        if user is None or (user.reaches(Path(python)) and user.reaches(Path(sysconfig.get_path("purelib")))):
            return python, packages
    pytest.skip(f"{user and user.name} can't run {sys.executable}, and there is no other {minor}")


class StackRun:
    """One run of the stack: its process, its output so far, and its addresses."""

    def __init__(self, home: Path, user: User | None, environ: dict[str, str]) -> None:
        """Start the stack on the state folder `home`."""
        self.home = home
        self.port, self.worker_port = unused_port(), unused_port()
        python, path = python_for(user)
        self.printed = home.parent / f"{home.name}.out"
        places = {
            "HOME": str(home.parent),
            "RESERVATIONS_HOME": str(home),
            "RESERVATIONS_HTTP_PORT": str(self.port),
            "RESERVATIONS_WORKER_HTTP_PORT": str(self.worker_port),
        }
        with self.printed.open("w") as output:
            self.process = subprocess.Popen(
                [python, "-c", DRIVER],
                env=os.environ | {"PYTHONPATH": path, "SIMULATE_NEIGHBOURS": "false"} | places | environ,
                cwd=home.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
            )

    def output(self) -> str:
        """Return what was printed so far."""
        return self.printed.read_text()

    def wait_for(self, text: str, limit_s: float = 30) -> None:
        """Wait until `text` is printed; fail with everything that was, if the run ends before."""
        eventually(lambda: text in self.output() or self.process.poll() is not None, limit_s)
        assert text in self.output(), self.output()

    def ends(self, limit_s: float = 10) -> int:
        """Wait for the end; return the exit status."""
        return self.process.wait(limit_s)

    def stop(self) -> tuple[int, float]:
        """Ask it to end; return the exit status and the seconds that took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.ends(15), time.monotonic() - began

    def interrupt(self) -> int:
        """Send what a terminal's Ctrl-C sends, to everything that the terminal would; return the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.ends()

    def sourced(self, name: str) -> str:
        """Return a variable as a shell sees it that sourced the file `env`."""
        script = f'. "{self.home}/env" && printf %s "${name}"'
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}).stdout

    def pid_of(self, name: str) -> int:
        """Return the process id of `worker` or `gateway`, as it tells itself; 0 while it does not answer."""
        port = self.port if name == "gateway" else self.worker_port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1) as answer:
                return int(answer.read())
        except OSError:
            return 0

    def data(self) -> Path:
        """Return the data folder that was told."""
        told = re.search("data in (.*)", self.output())
        assert told, self.output()
        return Path(told[1])

    def postmaster(self) -> int:
        """Return the process id of the database server."""
        return int((self.data() / "postmaster.pid").read_text().split()[0])


@contextmanager
def stack_run(
    home: Path, commands: str, environ: dict[str, str] | None = None, user: User | None = None
) -> Iterator[StackRun]:
    """Run the stack with these commands, given as JSON, and leave nothing of it behind."""
    run = StackRun(home, user, {"COMMANDS": commands} | (environ or {}))
    started: list[int] = []
    try:
        yield run
        started = descendants(run.process.pid)
    finally:
        if run.process.poll() is None:
            run.stop()
        eventually(lambda: not alive(started))
