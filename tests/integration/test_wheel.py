"""The wheel: it holds the whole package and runs apart from its source, with what the service's lock names."""

import os
import subprocess
import zipfile
from pathlib import Path

from reservations import __version__
from tests.installation import REPOSITORY

LIMIT_S = 60
IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys, reservations
assert pathlib.Path(reservations.__file__).is_relative_to(sys.prefix), reservations.__file__
for module in pkgutil.walk_packages(reservations.__path__, "reservations."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert module.name.startswith("reservations.app.tracing.") and error.name.startswith("opentelemetry"), error
    else:
        print(module.name)
"""


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    source = REPOSITORY / "reservations"
    files = (path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc")
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if name.startswith("reservations/")}
    assert held == {str(path.relative_to(REPOSITORY)): path.read_bytes() for path in files}


def test_the_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"reservations", f"svc_reservations-{__version__}.dist-info"}


def test_the_installed_command_says_its_version(installation: Path) -> None:
    assert run(installation / "bin" / "reservations", "version").strip() == __version__


def test_every_module_is_there_and_needs_nothing_that_the_service_is_not_installed_with(installation: Path) -> None:
    modules = run(installation / "bin" / "python", "-c", IMPORT_ALL).splitlines()
    assert {"reservations.app.gateway", "reservations.app.worker", "reservations.app.stack.up"} <= set(modules)
    # Installed without its extra, as the image is.
    assert "reservations.app.tracing.opentelemetry" not in modules


def test_without_its_extra_tracing_is_refused_with_the_cure(installation: Path) -> None:
    environment = {"TRACING": "on", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [installation / "bin" / "reservations", "worker"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "TRACING: needs OpenTelemetry" in done.stderr
    assert "pip install 'svc-reservations[tracing]'" in done.stderr


def run(program: Path, *arguments: str) -> str:
    """Run a program of the installation apart from the source; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [program, *arguments], cwd="/", env=kept, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
