"""The state folder of the embedded stack: its lock, its ports, its logs, and the addresses it hands out."""

import fcntl
import os
import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from reservations.app.stack.programs import StackError, last_lines

LOOPBACK = "127.0.0.1"
MAX_LOG_BYTES = 20_000_000


class Home:
    """A state folder. As root, one that is made here can be entered by others; the secrets in it can't be read."""

    def __init__(self, path: Path) -> None:
        """Make the folder if it is missing."""
        self.path = path.absolute()
        self.make(self.path)
        self.make(self.path / "log")

    @staticmethod
    def make(path: Path) -> Path:
        """Make a folder if it is missing; leave one that exists as it is."""
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            path.chmod(0o755 if os.geteuid() == 0 else 0o700)
        if not path.is_dir():
            raise StackError(f"{path} is not a folder.")
        return path

    def log(self, name: str) -> Path:
        """Return the log file of a program, with one that grew too large set aside as `.old`."""
        path = self.path / "log" / f"{name}.log"
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.old"))
        return path

    def port(self, name: str) -> int:
        """Return a free port for a server: the one it had before, if that is still free."""
        number = self.kept_port(name)
        if not number or not is_free(LOOPBACK, number):
            number = free_port()
            (self.path / f"{name}-port").write_text(f"{number}\n")
        return number

    def kept_port(self, name: str) -> int:
        """Return the port that a server had before, 0 if none is known."""
        kept = self.path / f"{name}-port"
        told = kept.read_text().strip() if kept.exists() else ""
        return int(told) if told.isdigit() else 0

    def secret(self, name: str) -> str | None:
        """Return what `keep_secret` wrote, None if it never did."""
        path = self.path / name
        return path.read_text().strip() if path.exists() else None

    def keep_secret(self, name: str, text: str) -> Path:
        """Write a file that only its owner can read, whole or not at all."""
        path, new = self.path / name, self.path / f"{name}.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
        return new.replace(path)

    def write_env(self, variables: Mapping[str, str]) -> Path:
        """Write the file `env`, which a shell can source."""
        return self.keep_secret("env", "\n".join(f"export {k}={shlex.quote(v)}" for k, v in variables.items()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone. Raises StackError when another one holds it."""
        path = self.path / "lock"
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = " ".join(last_lines(path)) or "unknown"
                raise StackError(
                    f"{self.path} is in use by a stack that already runs (process {holder}). "
                    "Stop that one, or set RESERVATIONS_HOME to another folder."
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen on this address now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
