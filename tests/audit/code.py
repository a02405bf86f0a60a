"""Weak code and secrets in the project's own files."""

import json
from pathlib import Path

from tests.audit.findings import Finding, Report, line, output


def weak_code(tools: Path) -> Report:
    """Look with bandit for weak code in the service."""
    found = json.loads(output(tools / "bandit", "--quiet", "--exit-zero", "-f", "json", "-r", "reservations"))
    unread = [Finding("unread", each["filename"], each["reason"]) for each in found["errors"]]
    weak = [
        Finding(each["test_id"], each["filename"], line(each["filename"], each["line_number"]))
        for each in found["results"]
    ]
    return Report("bandit", f"{len(found['metrics']) - 1} files of reservations/", (*unread, *weak))


def secrets(tools: Path) -> Report:
    """Look with detect-secrets for secrets in all files that are, or would be, committed; nothing is sent anywhere."""
    listed = output("git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate").splitlines()
    paths = [path for path in listed if (here := Path(path)).is_file() and not here.is_symlink()]
    found = json.loads(output(tools / "detect-secrets", "scan", "--no-verify", *paths))
    secret = (
        Finding(each["type"], path, line(path, each["line_number"]))
        for path, several in found["results"].items()
        for each in several
    )
    return Report("detect-secrets", f"{len(paths)} files", tuple(secret))
