"""The lock files in requirements/: what each holds, and how it is written."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
REQUIREMENTS = REPOSITORY / "requirements"

HEADER = """\
# Made by `make lock` from pyproject.toml: {purpose}.
# What it was made from: {fingerprint}
--require-hashes
"""


@dataclass(frozen=True)
class Lock:
    """A lock file: the lists of pyproject.toml that it locks, and the locks that are installed with it."""

    name: str
    purpose: str
    lists: tuple[str, ...]
    includes: tuple["Lock", ...] = ()

    @property
    def path(self) -> Path:
        """Return where it is."""
        return REQUIREMENTS / f"{self.name}.txt"

    def text(self) -> str:
        """Return what it says now; nothing if it was not made yet."""
        return self.path.read_text() if self.path.exists() else ""

    def pins(self) -> list[str]:
        """Return the requirements that it pins, without hashes."""
        return re.findall(r"^(\w[^\\\n]*?) \\$", self.text(), re.MULTILINE)

    def requirements(self) -> list[str]:
        """Return what it has to fulfil, with all that is installed with it."""
        lists = requirement_lists()
        own = [each for name in self.lists for each in lists[name]]
        return own + [each for lock in self.includes for each in lock.requirements()]


SERVICE = Lock("service", "what the service runs with", ("dependencies",))
BUILD = Lock("build", "what builds its wheel", ("build",))
RUN = Lock("run", "what `make run` needs besides", ("embedded",), (SERVICE, BUILD))
TRACING = Lock("tracing", "what the service needs besides for TRACING=on", ("tracing",), (SERVICE,))
DEV = Lock("dev", "what `make test` and `make check` need besides", ("dev",), (RUN, TRACING))
BENCH = Lock("bench", "what `make bench` needs besides", ("bench",), (DEV,))
AUDIT = Lock("audit", "what `make audit` runs, apart from the rest", ("audit",))
DOCS = Lock("docs", "what `make docs` runs, apart from the rest", ("docs",))
LOCKING = Lock("lock", "what `make lock` runs, apart from the rest", ("lock",))

#: What is resolved together holds each package in one version.
FAMILIES = ((SERVICE, BUILD, RUN, TRACING, DEV, BENCH), (AUDIT,), (DOCS,), (LOCKING,))


def pyproject() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def pythons() -> str:
    """Return the versions of Python that the locks are for."""
    return str(pyproject()["project"]["requires-python"])


def requirement_lists() -> dict[str, list[str]]:
    """Return every list of requirements in pyproject.toml, by its name."""
    whole = pyproject()
    project = whole["project"]
    return {
        "dependencies": project["dependencies"],
        **project["optional-dependencies"],
        **whole["dependency-groups"],
    }


def fingerprint(lock: Lock) -> str:
    """Return a digest of what a lock has to fulfil; another one tells that it has to be made anew."""
    asked = json.dumps([pythons(), sorted(lock.requirements())])
    return hashlib.sha256(asked.encode()).hexdigest()


def texts(family: Sequence[Lock], resolved: Mapping[str, Mapping[str, str]]) -> dict[Lock, str]:
    """Return what each lock has to say; resolved gives the entries of each, by pinned requirement."""
    return {lock: _text(lock, resolved) for lock in family}


def _text(lock: Lock, resolved: Mapping[str, Mapping[str, str]]) -> str:
    included = {pin for each in lock.includes for pin in resolved[each.name]}
    header = HEADER.format(purpose=lock.purpose, fingerprint=fingerprint(lock))
    inclusions = [f"-r {each.name}.txt\n" for each in lock.includes]
    entries = [entry for pin, entry in resolved[lock.name].items() if pin not in included]
    return "".join([header, *inclusions, *entries])
