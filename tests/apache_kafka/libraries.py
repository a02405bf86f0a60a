"""Apache Kafka as Maven artifacts, kept in a folder that git ignores."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
FOLDER = Path(__file__).parents[2] / ".kafka"
OLDEST_JAVA = 17
FETCH_LIMIT_S = 300
MAX_REASON_CHARS = 300


class KafkaUnavailableError(Exception):
    """Apache Kafka can't be had on this machine; the message says what is missing."""


def fetch() -> Path:
    """Return the folder of the broker's libraries, fetched on the first call.

    Raises:
        KafkaUnavailableError: there is no Java, or the libraries can't be fetched.

    """
    _require_java()
    libraries = FOLDER / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if not libraries.exists():
        _fetch_into(libraries)
    return libraries


def _require_java() -> None:
    try:
        told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        raise KafkaUnavailableError(f"Java {OLDEST_JAVA} or later is needed; none was found on PATH") from None
    found = re.search(r'version "(\d+)', told)
    if not found or int(found[1]) < OLDEST_JAVA:
        raise KafkaUnavailableError(f"Java {OLDEST_JAVA} or later is needed; found {told.splitlines()[0]}")


def _fetch_into(libraries: Path) -> None:
    """Fetch everything to a folder beside, which then takes its name: there is never half of it."""
    beside = libraries.with_suffix(".new")
    shutil.rmtree(beside, ignore_errors=True)
    goals = ["dependency:copy-dependencies", f"-DoutputDirectory={beside}"]
    command = ["mvn", "-q", "-B", "-f", str(POM), *goals]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False)
    except FileNotFoundError:
        raise KafkaUnavailableError("Maven fetches it; `mvn` was not found on PATH") from None
    except subprocess.TimeoutExpired:
        raise KafkaUnavailableError(f"Maven did not fetch it within {FETCH_LIMIT_S} s") from None
    if done.returncode:
        first = next(iter(done.stdout.splitlines()), f"exit status {done.returncode}")
        raise KafkaUnavailableError(f"Maven can't fetch it: {first[:MAX_REASON_CHARS]}")
    beside.replace(libraries)
