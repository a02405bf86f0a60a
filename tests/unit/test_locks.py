"""The locks in requirements/ are what pyproject.toml asks for, and name nothing that could be swapped."""

import re
from collections import Counter

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.locks.locks import FAMILIES, REQUIREMENTS, SERVICE, Lock, fingerprint, pyproject
from tests.locks.resolver import fits

LOCKS = [lock for family in FAMILIES for lock in family]
each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
ENTRY = re.compile(r"[a-z0-9-]+==[\w.]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+")


def versions(lock: Lock) -> dict[str, list[Version]]:
    """Return the versions that are installed with a lock, by package."""
    found: dict[str, list[Version]] = {}
    for each in (lock, *lock.includes):
        for pin in map(Requirement, each.pins()):
            found.setdefault(pin.name, []).extend(Version(one.version) for one in pin.specifier)
        if each is not lock:
            found |= versions(each)
    return found


@each_lock
def test_a_lock_was_made_from_this_pyproject(lock: Lock) -> None:
    assert fingerprint(lock) in lock.text(), f"{lock.path.name} is out of date: run `make lock`"


@each_lock
def test_a_lock_pins_what_pyproject_asks_for(lock: Lock) -> None:
    found = versions(lock)
    for asked in map(Requirement, lock.requirements()):
        pinned = found[canonicalize_name(asked.name)]
        assert pinned, asked
        assert all(asked.specifier.contains(version) for version in pinned), asked


@each_lock
def test_every_entry_of_a_lock_has_hashes_and_nothing_else_stands_there(lock: Lock) -> None:
    inclusions = [f"-r {each.name}.txt" for each in lock.includes]
    options = [line for line in lock.text().splitlines() if line.startswith("-")]
    assert options == ["--require-hashes", *inclusions]
    rest = re.sub(r"^(#|-).*\n", "", lock.text(), flags=re.MULTILINE)
    assert re.fullmatch(rf"({ENTRY.pattern}\n)+", rest)


def test_no_package_is_locked_in_two_versions_that_are_installed_together() -> None:
    pins = {pin for lock in FAMILIES[0] for pin in lock.pins()}
    twice = [name for name, times in Counter(pin.partition("==")[0] for pin in pins).items() if times > 1]
    assert all(" ; python" in pin for pin in pins if pin.partition("==")[0] in twice), twice


def test_there_are_no_other_locks() -> None:
    assert {path.stem for path in REQUIREMENTS.iterdir()} == {lock.name for lock in LOCKS}


def test_the_service_runs_without_what_only_a_developer_needs() -> None:
    asked = pyproject()["project"]["optional-dependencies"]
    names = {canonicalize_name(Requirement(each).name) for each in (*asked["embedded"], *asked["dev"])}
    assert not names & versions(SERVICE).keys()


def test_what_the_build_system_needs_is_locked() -> None:
    whole = pyproject()
    assert set(whole["build-system"]["requires"]) <= set(whole["dependency-groups"]["build"])


@pytest.mark.parametrize(
    ("wheel", "is_fitting"),
    [
        ("x-1-py3-none-any.whl", True),
        ("x-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("x-1-cp313-cp313-musllinux_1_2_aarch64.whl", True),
        ("x-1-cp314-cp314-macosx_11_0_arm64.whl", True),
        ("x-1-cp314-cp314t-macosx_11_0_arm64.whl", False),
        ("x-1-cp311-cp311-manylinux2014_ppc64le.whl", False),
        ("x-1-cp311-cp311-win_amd64.whl", False),
        ("x-1-cp313-cp313-ios_13_0_arm64_iphoneos.whl", False),
    ],
)
def test_only_wheels_for_linux_and_macos_on_the_usual_processors_are_locked(wheel: str, is_fitting: bool) -> None:
    assert fits(f"somewhere/{wheel}") is is_fitting
