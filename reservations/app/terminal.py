"""What every command needs: its settings, and a way to end when it can't do its work."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand

from reservations.app.settings import Settings, load_settings

WRONG_USAGE = 2
PROGRESS_INTERVAL_S = 0.5


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
    logs.configure(process, "warning", sys.stderr)  # standard output is for the result
    dependencies.warn_without_tls(settings)
    return settings


@contextmanager
def owners_alone() -> Iterator[None]:
    """End the process, saying so, where the login may not do what is for the owner of the tables."""
    from asyncpg import InsufficientPrivilegeError, InvalidParameterValueError

    try:
        yield
    except (InvalidParameterValueError, InsufficientPrivilegeError):
        fail("The login of DATABASE_URL must be granted reservations_owner, in a database that is migrated.")


class UsageIsOne(TyperCommand):
    """A command whose exit status 2 has another meaning: a wrong command line ends with 1."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the command line."""
        try:
            return super().make_context(*arguments, **options)
        except Exception as error:
            # Not every error of the command line has a base that can be named: typer brings its own copy of click.
            if getattr(error, "exit_code", None) == WRONG_USAGE:
                error.exit_code = 1  # type: ignore[attr-defined]
            raise


class Progress:
    """Tells on standard error how a long work goes on; by default only where somebody looks."""

    def __init__(self, wanted: bool | None = None) -> None:
        self._is_wanted = sys.stderr.isatty() if wanted is None else wanted
        self._told_at = 0.0

    def tell(self, what: str, done: int, total: int) -> None:
        """Say how much is done, not more often than can be read."""
        now = monotonic()
        if self._is_wanted and (done == total or now - self._told_at >= PROGRESS_INTERVAL_S):
            self._told_at = now
            typer.echo(f"{what}: {done} of {total}", err=True)
