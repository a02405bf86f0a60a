"""Examining worker and gateway by what they say of their health."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from reservations.app.doctor.findings import Finding, Stopwatch, ok, skipped, wrong
from reservations.app.settings import Settings

ANSWER_LIMIT_S = 5.0
STARTS = {"worker": "reservations keep worker", "gateway": "reservations keep gateway"}


def address(settings: Settings, process: str) -> str | None:
    """Return where a process of these settings is, if they tell."""
    if process == "worker":
        host, port = settings.reservations_worker_http_host, settings.reservations_worker_http_port
    else:
        host, port = settings.reservations_http_host, settings.reservations_http_port
    return f"http://{f'[{host}]' if ':' in host else host}:{port}" if port else None


async def examine_process(process: str, url: str | None) -> list[Finding]:
    """Return what a worker or gateway says of itself."""
    if url is None:
        return [skipped(process, f"its port is 0, so any: name it with --{process}-url")]
    watch = Stopwatch()
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/health/ready") as answer:
            told = await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        cure = f"Start it (`{STARTS[process]}`), or name where it is with --{process}-url; see its log."
        return [wrong(process, f"{url} does not answer ({type(error).__name__})", cure)]
    return [_of(process, url, told, watch.lap())]


def _of(process: str, url: str, told: Mapping[str, Any], seconds: float) -> Finding:
    failed = {name: text for name, text in told["checks"].items() if text != "ok"}
    if failed:
        seen = f"{url} is {told['status']}: " + ", ".join(f"{name}: {text}" for name, text in failed.items())
        return wrong(
            process, seen, "Cure what is told of these checks here; if nothing is, see the log of the process."
        )
    return ok(process, f"{url} is {told['status']}", seconds)
