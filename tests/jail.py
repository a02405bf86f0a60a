"""Running a program as a hardened container does: not as root, no capabilities, no shell, nothing to write to."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

USER_ID = 10001

#: What an interpreter and its libraries need of a system. There is no shell among it.
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo")

#: The one place to write to. A root gives it before what may lie under it.
TMP = ("--perms", "1777", "--tmpfs", "/tmp")  # noqa: S108

#: Where the program stands that changes the user. It keeps these rights until it has done so.
SETPRIV = "/run/setpriv"
RIGHTS = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
NO_RIGHTS = ("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")


def jailed(root: Iterable[str], *program: str) -> list[str]:
    """Return the command that runs a program on a root that can't be written to; the network is the machine's."""
    return [
        *("bwrap", "--die-with-parent", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL", *root),
        *("--dev", "/dev", "--proc", "/proc", "--remount-ro", "/", "--chdir", "/"),
        *("--setenv", "HOME", "/nonexistent", "--setenv", "PYTHONDONTWRITEBYTECODE", "1"),
        *_as_another_user(),
        *program,
    ]


def system_and(*folders: Path) -> Iterator[str]:
    """Give the arguments for a root of the system's libraries, the tests' interpreter and some folders."""
    yield from TMP
    interpreter = Path(sys.base_prefix).resolve()
    for path in (*map(Path, SYSTEM), interpreter, *folders):
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), str(path))
        elif path.exists():
            yield from _bound(path, path)
    yield from _setpriv()


def image(root: Path) -> Iterator[str]:
    """Give the arguments for the root of an image."""
    yield from ("--ro-bind", str(root), "/", *TMP, "--tmpfs", "/run")
    yield from _setpriv()


def _setpriv() -> Iterator[str]:
    yield from _bound(Path(str(shutil.which("setpriv"))), Path(SETPRIV))


def _bound(source: Path, target: Path) -> Iterator[str]:
    # Folders that bubblewrap makes unasked are closed to other users.
    yield from (part for parent in reversed(target.parents[:-1]) for part in ("--dir", str(parent)))
    yield from ("--ro-bind", str(source), str(target))


def why_not() -> str | None:
    """Tell why nothing can be jailed here; None if it can."""
    missing = [name for name in ("bwrap", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not found: install bubblewrap and util-linux"
    asked = subprocess.run(["bwrap", "--ro-bind", "/", "/", "true"], capture_output=True, text=True, check=False)
    return f"bubblewrap can't work here: {asked.stderr.strip()}" if asked.returncode else None


def _as_another_user() -> Iterator[str]:
    if os.geteuid() == 0:
        yield from (part for right in RIGHTS for part in ("--cap-add", right))
        yield from (SETPRIV, f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups", *NO_RIGHTS)
    else:
        yield from ("--unshare-user", "--uid", str(USER_ID), "--gid", str(USER_ID))
