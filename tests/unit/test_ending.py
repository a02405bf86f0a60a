"""How a process ends: with its status, whatever is left running in it."""

import subprocess
import sys

ENDS_WITHIN_S = 20
STUBBORN = """
import asyncio
from reservations.app.cli import _run_for_long

async def swallow_cancellation():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("not now", flush=True)

async def work():
    work.left = asyncio.create_task(swallow_cancellation())
    await asyncio.sleep(0)
    return 3

_run_for_long(work())
"""


def test_what_swallows_its_cancellation_does_not_keep_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", STUBBORN], capture_output=True, timeout=ENDS_WITHIN_S, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"", b"")
