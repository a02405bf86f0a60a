"""The service installed as a deployment has it: its wheel and what requirements/service.txt names, nothing else."""

import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.locks.locks import SERVICE

REPOSITORY = Path(__file__).parents[1]
LIMIT_S = 120


def a_wheel(folder: Path) -> Path:
    """Build the project's wheel into a folder."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, timeout=LIMIT_S, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def an_installation(folder: Path, wheel: Path) -> Path:
    """Install the wheel into a virtual environment; return its folder.

    Its dependencies are copied from the environment of the tests, which `make` filled by the same hashes.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], timeout=LIMIT_S, check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for pin in map(Requirement, SERVICE.pins()):
        if pin.marker is None or pin.marker.evaluate():
            copy(found(pin), packages)
    into = ["--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *into], capture_output=True, timeout=LIMIT_S, check=True)
    return folder


def found(pin: Requirement) -> Distribution:
    """Return the distribution that a lock names, as the tests have it."""
    here = distribution(pin.name)
    assert pin.specifier.contains(here.version), f"{pin} is locked, but {here.version} is installed: run `make test`"
    return here


def copy(source: Distribution, packages: Path) -> None:
    """Copy what a distribution put into site-packages; not its programs."""
    for path in source.files or ():
        if ".." not in path.parts and path.suffix != ".pyc":
            (packages / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(source.locate_file(path)), packages / path)
