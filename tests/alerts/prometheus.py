"""A real Prometheus with the shipped rules, whose minutes are made seconds, and what it says."""

import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from reservations.app.stack.home import LOOPBACK, Home
from reservations.app.stack.programs import Program
from tests.conditions import eventually
from tests.servers import already, running

SHIPPED = Path(__file__).parents[2] / "operations" / "prometheus"
#: So many times faster goes the time of the rules. A window of the shortest, a minute, still sees several scrapes.
FASTER = 60
SCRAPE, EVALUATION = "500ms", "500ms"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=for: )(\d+)([smhd])$", re.MULTILINE)


def binary() -> str | None:
    """Return Prometheus' program, if there is one."""
    return shutil.which("prometheus")


def hastened(rules: str) -> str:
    """Return rules whose windows and waits are so many times shorter; limits stay what they are."""

    def shorter(found: re.Match[str]) -> str:
        count, unit = found[1] or found[3], found[2] or found[4]
        return f"{int(count) * SECONDS[unit] * 1000 // FASTER}ms"

    return DURATION.sub(shorter, rules)


def configuration(targets: Mapping[str, str]) -> str:
    """Return the shipped configuration, with the targets of each job."""
    shipped = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    shipped["global"] = {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": EVALUATION}
    names = [job["job_name"] for job in shipped["scrape_configs"]]
    assert set(names) == set(targets)
    jobs = [{"job_name": name, "static_configs": [{"targets": [targets[name]]}]} for name in names]
    return yaml.safe_dump({**shipped, "scrape_configs": jobs})


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What a Prometheus says."""

    url: str
    session: aiohttp.ClientSession

    async def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            async with self.session.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def ask(self, path: str, **parameters: str) -> Any:
        """Return what its API answers."""
        async with self.session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            return (await answer.json())["data"]

    async def firing(self) -> set[str]:
        """Return the alerts that fire."""
        alerts = (await self.ask("alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def troubles(self) -> list[str]:
        """Return the rules that can't be evaluated, or have not been."""
        rules = [rule for group in (await self.ask("rules"))["groups"] for rule in group["rules"]]
        assert rules
        return [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]

    async def value(self, query: str) -> float | None:
        """Return the one value of a query; None without one."""
        result = (await self.ask("query", query=query))["result"]
        return float(result[0]["value"][1]) if result else None


@asynccontextmanager
async def a_prometheus(
    program: str, home: Home, targets: Mapping[str, str], session: aiohttp.ClientSession
) -> AsyncIterator[Prometheus]:
    """Give a Prometheus that scrapes these targets, by job."""
    folder = home.path / "prometheus"
    folder.mkdir()
    (folder / "rules.yml").write_text(hastened((SHIPPED / "rules.yml").read_text()))
    (folder / "prometheus.yml").write_text(configuration(targets))
    address = f"{LOOPBACK}:{home.port('prometheus')}"
    argv = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    own = Program("prometheus", [*argv, f"--web.listen-address={address}"], env={}, output=home.log("prometheus"))
    with running(own, already):
        made = Prometheus(f"http://{address}", session)
        await eventually(made.is_ready)
        yield made
