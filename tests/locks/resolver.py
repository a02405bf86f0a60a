"""Resolving requirements with uv, for Linux and macOS and every Python that the project takes."""

import json
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.locks.locks import pythons

#: Only wheels are locked, so that installing runs nobody's code. These machines must find one of each package.
MACHINES = {"linux": "x86_64", "darwin": "arm64"}
#: What has no wheel for Linux on ARM, and may be built there.
BUILT = {"faust-streaming"}
PLATFORM = re.compile(r"any|(manylinux|musllinux)\w*_(x86_64|aarch64)|macosx\w*_(x86_64|arm64|universal2)")
FREE_THREADED = re.compile(r"-cp3\d+t-")

PROJECT = """\
[project]
name = "locked"
version = "0"
requires-python = "{pythons}"
[project.optional-dependencies]
{extras}
[tool.uv]
package = false
no-build = true
required-environments = {machines}
constraint-dependencies = {kept}
"""


@dataclass(frozen=True)
class Resolver:
    """A uv, and what is made of its answers."""

    uv: Path

    def resolve(self, sets: Mapping[str, Sequence[str]], kept: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the entries of each set's lock, by pinned requirement; versions that are kept are not changed."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "pyproject.toml").write_text(project(sets, kept))
            self._run(folder, "lock")
            found = hashes(tomllib.loads(Path(folder, "uv.lock").read_text()))
            return {name: dict(entries(self._export(folder, name), found)) for name in sets}

    def _export(self, folder: str, extra: str) -> list[str]:
        plain = ("--no-hashes", "--no-header", "--no-annotate", "--no-emit-project")
        return self._run(folder, "export", "--frozen", *plain, "--extra", extra).splitlines()

    def _run(self, folder: str, *command: str) -> str:
        asked = subprocess.run([self.uv, "--quiet", *command], cwd=folder, stdout=subprocess.PIPE, check=True)
        return asked.stdout.decode()


def project(sets: Mapping[str, Sequence[str]], kept: Sequence[str]) -> str:
    """Return a project that asks for each set as an extra. A list of plain strings is the same in TOML and JSON."""
    machines = [f"sys_platform == '{system}' and platform_machine == '{name}'" for system, name in MACHINES.items()]
    return PROJECT.format(
        pythons=pythons(),
        extras="\n".join(f"{name} = {json.dumps(asked)}" for name, asked in sets.items()),
        machines=json.dumps(machines),
        kept=json.dumps(kept),
    )


def hashes(lock: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the hashes of what may be installed, by `name==version`."""
    return {f"{package['name']}=={package['version']}": sorted(_hashes(package)) for package in lock["package"]}


def _hashes(package: Mapping[str, Any]) -> Iterator[str]:
    yield from (wheel["hash"] for wheel in package.get("wheels", ()) if fits(wheel["url"]))
    if package["name"] in BUILT:
        yield package["sdist"]["hash"]


def fits(url: str) -> bool:
    """Tell whether a wheel is for a machine that the project runs on."""
    name = url.rpartition("/")[2].removesuffix(".whl")
    tags = name.rpartition("-")[2].split(".")
    return not FREE_THREADED.search(name) and any(map(PLATFORM.fullmatch, tags))


def entries(pins: Iterable[str], found: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Give each pinned requirement that Linux or macOS can have, with its entry in a lock."""
    for pin in pins:
        name, _, marker = pin.partition(" ; ")
        if marker != "sys_platform == 'win32'":
            yield pin, " \\\n    ".join([pin, *(f"--hash={each}" for each in found[name])]) + "\n"
