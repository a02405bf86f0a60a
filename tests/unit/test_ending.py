"""How a process ends: with its status, whatever is left running in it."""

import socket
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


LISTENING = """
import sys
from aiohttp import web
from reservations.app.cli import _run_for_long
from reservations.app.serving import serving

async def work():
    async with serving(web.Application(), sys.argv[1], int(sys.argv[2]), stop_deadline_s=1):
        return 0

_run_for_long(work())
"""


def test_a_port_that_is_taken_is_said_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-c", LISTENING, "127.0.0.1", port],
            capture_output=True,
            timeout=ENDS_WITHIN_S,
            check=False,
            text=True,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Can't listen on 127.0.0.1:{port} (Address already in use). RESERVATIONS_HTTP_PORT")
    assert "Traceback" not in ended.stderr


def test_a_host_that_is_not_known_is_said_in_words() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LISTENING, "nowhere.invalid", "0"],
        capture_output=True,
        timeout=ENDS_WITHIN_S,
        check=False,
        text=True,
    )
    assert (ended.returncode, "Traceback" in ended.stderr, "Unknown error" in ended.stderr) == (1, False, False)
    assert ended.stderr.startswith("Can't listen on nowhere.invalid:0 (")
