"""Become another program, as another user if asked, that is told to end when the process that started it ends.

Run as a script: `launcher.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT ...]`. A UID below 0 keeps the user.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def drop_to(uid: int, gid: int) -> None:
    """Give up root for good."""
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


def end_with(parent: int, number: int) -> None:
    """Ask the kernel to send signal `number` when `parent` ends; leave at once if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        sys.exit("The process that started this one has ended.")


def main(parent: int, number: int, uid: int, gid: int, argv: list[str]) -> None:
    """Replace this process by the program in `argv`."""
    if uid >= 0:
        drop_to(uid, gid)
    end_with(parent, number)  # after the change of user, which clears it
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and its successor would inherit that
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(argv[0], argv)  # noqa: S606  # no shell is wanted
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
