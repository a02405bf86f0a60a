"""Make the files in requirements/ from pyproject.toml: `python -m tests.locks UV [--upgrade all]`.

Needs nothing but uv: it runs before anything that it locks is installed.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.locks.locks import FAMILIES, REPOSITORY, REQUIREMENTS, Lock, texts
from tests.locks.resolver import Resolver


def main() -> None:
    """Renew every lock."""
    parser = argparse.ArgumentParser(prog="python -m tests.locks")
    parser.add_argument("uv", type=Path, help="the uv that resolves")
    parser.add_argument("--upgrade", nargs="*", default=[], help="packages to take the newest version of, or `all`")
    options = parser.parse_args()
    REQUIREMENTS.mkdir(exist_ok=True)
    for family in FAMILIES:
        renew(family, Resolver(options.uv.absolute()), options.upgrade)


def renew(family: Sequence[Lock], resolver: Resolver, upgrade: Sequence[str]) -> None:
    """Renew locks that are resolved together, so that no two of them hold a package in two versions."""
    resolved = resolver.resolve({lock.name: lock.requirements() for lock in family}, kept(family, upgrade))
    for lock, text in texts(family, resolved).items():
        lock.path.write_text(text)
        sys.stdout.write(f"{lock.path.relative_to(REPOSITORY)}: {len(lock.pins())} packages\n")


def kept(family: Sequence[Lock], upgrade: Sequence[str]) -> list[str]:
    """Return the versions to keep: those of packages that are not upgraded and have one version for all."""
    pins = sorted({pin.partition(" ; ")[0] for lock in family for pin in lock.pins()})
    count = Counter(pin.partition("==")[0] for pin in pins)
    return [
        pin for pin in pins if count[pin.partition("==")[0]] == 1 and not {"all", pin.partition("==")[0]} & {*upgrade}
    ]


if __name__ == "__main__":
    main()
