"""Health and metrics: whether a process lives, whether it can do its work, and figures of how it does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

CHECK_TIMEOUT_S = 2.0

#: Returns nothing when all is well, or says what is not.
Check = Callable[[], Awaitable[str | None]]


class Readiness(StrEnum):
    """What a process can do now."""

    READY = "ready"
    DEGRADED = "degraded"
    UNREADY = "unready"


#: Decides readiness by the names of the checks that failed.
Judge = Callable[[set[str]], Readiness]


class Health:
    """What is checked, and what follows from it."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        judge: Judge,
        lives: Callable[[], str | None],
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self._checks = checks
        self._judge = judge
        self._lives = lives
        self._facts = facts or {}

    def routes(self, registry: CollectorRegistry) -> list[web.AbstractRouteDef]:
        """Return the routes of health and metrics."""
        return [
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", make_aiohttp_handler(registry)),
        ]

    async def live(self, _: web.Request) -> web.Response:
        """Answer 200 while the process gets on, 503 when it must be restarted."""
        trouble = self._lives()
        return web.json_response({"status": trouble or "live"}, status=503 if trouble else 200)

    async def ready(self, _: web.Request) -> web.Response:
        """Answer 200 when there is work this process can do, 503 when there is none; the body says of each check."""
        troubles = await asyncio.gather(*map(_run, self._checks.values()))
        found = dict(zip(self._checks, troubles, strict=True))
        readiness = self._judge({name for name, trouble in found.items() if trouble})
        body = {
            "status": readiness,
            "checks": {name: trouble or "ok" for name, trouble in found.items()},
            **self._facts,
        }
        return web.json_response(body, status=503 if readiness is Readiness.UNREADY else 200)


async def _run(check: Check) -> str | None:
    try:
        return await asyncio.wait_for(check(), CHECK_TIMEOUT_S)
    except Exception as error:
        return f"away ({type(error).__name__})"
