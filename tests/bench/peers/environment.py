"""A peer that can't be installed beside this service gets a Python environment of its own, made when it is needed."""

import subprocess
import sys
from pathlib import Path

#: DBOS wants croniter 6, mode-streaming (Faust's base) one below 6.
DBOS = ("dbos==3.4.0", "confluent-kafka==2.16.1")
OWN = ("asyncpg==0.32.0", "aiokafka==0.14.0", "orjson", "uvloop")


def python_with(packages: tuple[str, ...], folder: Path) -> Path:
    """Return the interpreter of an environment with these packages and what a worker of ours needs.

    Raises:
        subprocess.CalledProcessError: they can't be had; the message of pip is in the folder's log.

    """
    python = folder / "bin" / "python"
    if not python.exists():
        log = folder.with_suffix(".log")
        with log.open("wb") as output:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, stdout=output, stderr=output)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, *OWN]
            subprocess.run(install, check=True, stdout=output, stderr=output)
    return python
