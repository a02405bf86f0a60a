"""What every command needs: its settings, and a way to end when it can't do its work."""

import sys
from typing import NoReturn

import typer

from reservations.app.settings import Settings, load_settings


def settings_with(*needed: str) -> Settings:
    """Return the settings; end the process when one that is needed is not set."""
    settings = load_settings()
    missing = [name for name in needed if not getattr(settings, name.lower())]
    if missing:
        fail(f"Set {' and '.join(missing)}; `make run` starts its own servers and needs neither.")
    return settings


def fail(message: str) -> NoReturn:
    """End the process with status 1, saying why."""
    typer.echo(message, err=True)
    sys.exit(1)


def owner_settings(process: str) -> Settings:
    """Return the settings of a command that works on the database as its owner; warn when it is not safe to reach."""
    from reservations.app import dependencies, logs

    settings = settings_with("DATABASE_URL")
    logs.configure(process, "warning")
    dependencies.warn_without_tls(settings)
    return settings
