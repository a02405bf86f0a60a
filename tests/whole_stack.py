"""What `make run` starts, as a whole: for tests that use it as people do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reservations.app.settings import Settings
from tests.stack_run import REPOSITORY, STARTED, alive, descendants, eventually

START_LIMIT_S = 60
STOP_LIMIT_S = 20


@contextmanager
def running_stack(folder: Path, **settings: str) -> Iterator[str]:
    """Run `reservations up` in a folder, on free ports, with settings; give what it printed until it was ready."""
    printed = folder / "up.log"
    with printed.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "reservations.app.cli", "up"],
            env=environment() | {"RESERVATIONS_HTTP_PORT": "0", "RESERVATIONS_WORKER_HTTP_PORT": "0"} | settings,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started: list[int] = []
    try:
        eventually(lambda: STARTED in printed.read_text() or process.poll() is not None, START_LIMIT_S)
        assert STARTED in printed.read_text(), printed.read_text()
        started = descendants(process.pid)
        yield printed.read_text()
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)
        eventually(lambda: not alive(started))


def environment() -> dict[str, str]:
    """Return the environment without any setting of the service."""
    names = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in names} | {"PYTHONPATH": str(REPOSITORY)}
