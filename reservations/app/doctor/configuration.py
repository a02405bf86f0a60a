"""Examining the settings of this process."""

from reservations.app.doctor.findings import Finding, ok, warning, wrong
from reservations.app.settings import Settings
from reservations.app.settings.auth import Auth

NEEDED = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")
NAME_IT = "Set {}; beside `make run`, `set -a; . .reservations/env` does."


def unusable(complaints: list[str]) -> list[Finding]:
    """Return the findings of settings that no process would start with."""
    return [
        wrong("settings", complaint, f"Correct or unset {complaint.partition(':')[0]}; docs/settings.md lists all.")
        for complaint in complaints
    ]


def examine_settings(settings: Settings) -> list[Finding]:
    """Return what is wrong with settings that are usable each by itself."""
    missing = [name for name in NEEDED if not getattr(settings, name.lower())]
    found = [wrong("settings", f"{name} is not set", NAME_IT.format(name)) for name in missing]
    lacking = settings.auth_is_missing()
    if settings.auth is Auth.REQUIRED and lacking:
        cure = f"Set {' and '.join(lacking)} where gateways run; nothing is wrong if that is done there, and not here."
        found.append(warning("settings.auth", "a gateway with these settings would not start", cure))
    return found or [ok("settings", "usable")]
