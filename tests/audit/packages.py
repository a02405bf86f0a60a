"""Vulnerabilities and licences of the packages that are locked."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.audit.findings import Finding, Report, output
from tests.locks.locks import FAMILIES, SERVICE, TRACING

TIMEOUT_S = 10
VULNERABLE = 1

#: Licences that ask nothing of who runs a service but to keep their notices. MPL-2.0 asks besides for the source of
#: files of its own that were changed; none are.
ALLOWED = frozenset(
    {
        "3-Clause BSD License",
        "Apache Software License",
        "Apache-2.0",
        "BSD License",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC License (ISCL)",
        "MIT",
        "MIT License",
        "MIT-0",
        "MPL-2.0",
        "Mozilla Public License 2.0 (MPL 2.0)",
        "PSF-2.0",
        "Python Software Foundation License",
        "Repoze Public License",
    }
)


def vulnerabilities(tools: Path) -> Report:
    """Ask with pip-audit for known vulnerabilities of all that is locked, once it is seen that there are answers."""
    pins = sorted({pin.partition(" ; ")[0] for family in FAMILIES for lock in family for pin in lock.pins()})
    looked_at = f"{len(pins)} packages of requirements/"
    if not answered(ask(tools, pins[:1])):
        return Report("pip-audit", looked_at, not_checked="the vulnerability service could not be reached")
    found = ask(tools, pins)
    if len(found) < len(pins):
        return Report("pip-audit", looked_at, not_checked="the vulnerability service did not answer for all")
    return Report("pip-audit", looked_at, tuple(vulnerable(found)))


def ask(tools: Path, pins: Iterable[str]) -> list[Mapping[str, Any]]:
    """Return what pip-audit says of each package; nothing when it got no answers."""
    options = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", TIMEOUT_S, "--format", "json")
    found: list[Mapping[str, Any]] = []
    # A file may name a package once only, and there are packages in two versions.
    for several in files(pins):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(several))
            file.flush()
            try:
                said = output(tools / "pip-audit", *options, "-r", file.name, good=(0, VULNERABLE))
            except subprocess.CalledProcessError:
                return []
            found += json.loads(said)["dependencies"] if said else []
    return found


def files(pins: Iterable[str]) -> list[list[str]]:
    """Spread pins over as few lists as are needed for each to name a package once."""
    lists: list[dict[str, str]] = []
    for pin in pins:
        name = pin.partition("==")[0]
        free = next((each for each in lists if name not in each), None)
        if free is None:
            lists.append(free := {})
        free[name] = pin
    return [list(each.values()) for each in lists]


def answered(found: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether any package is known: a registry without the service says of each that there is none such."""
    return any("skip_reason" not in each for each in found)


def vulnerable(found: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Give a finding for each vulnerability, and for each package that was not looked up."""
    for each in found:
        if "skip_reason" in each:
            yield Finding("not known", each["name"], each["skip_reason"])
        for one in each.get("vulns", ()):
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            yield Finding(one["id"], each["name"], f"{each['version']}, corrected in {fixed}")


def licences(tools: Path) -> Report:
    """Compare with pip-licenses what the service runs with, traced or not, to the licences that are allowed."""
    asked = (tools / "pip-licenses", "--python", sys.executable, "--with-system", "--format", "json")
    known = {canonicalize_name(each["Name"]): each["License"] for each in json.loads(output(*asked))}
    names = [
        canonicalize_name(pin.name)
        for pin in map(Requirement, [*SERVICE.pins(), *TRACING.pins()])
        if pin.marker is None or pin.marker.evaluate()
    ]
    said = {name: known.get(name, "") for name in names}
    odd = (Finding("licence", name, text or "UNKNOWN") for name, text in said.items() if not is_allowed(text))
    return Report("pip-licenses", f"{len(said)} packages of requirements/service.txt and tracing.txt", tuple(odd))


def is_allowed(text: str) -> bool:
    """Tell whether all licences that are named are allowed, whichever of them may be chosen."""
    if text in ALLOWED:
        return True
    return {part.strip("() ") for part in re.split(r" AND | OR |;", text)} <= ALLOWED
