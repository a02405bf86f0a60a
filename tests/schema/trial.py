"""One run of Schemathesis against a service: what it found, and how much of each operation it asked."""

import asyncio
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.schema.hooks import GUEST_ID

REPOSITORY = Path(__file__).parents[2]
SETTINGS = Path(__file__).with_name("schemathesis.toml")
#: Cancelling is by DELETE, and what is cancelled stays readable: that is promised, and no use after free.
#: What is valid must be accepted, but for rules that the document can't tell: hooks.py has that check.
EXCLUDED = ("use_after_free", "positive_data_acceptance")


SCENARIOS = 24
PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass(frozen=True)
class Credentials:
    """With whose token it is asked, if with any."""

    token: str | None = None
    guest_id: str | None = None


@dataclass
class Verdict:
    """What came of it: how often each operation gave each status, what failed, and everything that was printed."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[str] = field(default_factory=list)
    printed: str = ""
    links: Counter[str] = field(default_factory=Counter)

    def offered(self) -> dict[str, Counter[int]]:
        """Return the statuses of each operation; what only ever was a wrong method is none."""
        return {operation: seen for operation, seen in self.statuses.items() if seen.keys() != {405}}

    def table(self) -> Iterator[str]:
        """Return the lines of a table: operation, cases, statuses."""
        for operation, seen in sorted(self.offered().items()):
            shown = ", ".join(f"{status}: {count}" for status, count in sorted(seen.items()))
            yield f"| `{operation}` | {seen.total()} | {self.links[operation]} | {shown} |"


async def try_out(url: str, who: Credentials, folder: Path, *, cases: int, seed: int, phases: Sequence[str]) -> Verdict:
    """Ask each operation at least so many things in the fuzzing phase, and return what came of it.

    Where what is drawn depends on what was deleted, Schemathesis comes to an end early: such operations are asked once
    more, alone.
    """
    trial = _Trial(url, who, folder, cases, seed)
    await trial.ask("--phases", ",".join(phases))
    for operation in [name for name, seen in trial.verdict.offered().items() if seen.total() < cases]:
        method, path = operation.split()
        await trial.ask("--phases", "fuzzing", "--include-method", method, "--include-path", path)
    return trial.verdict


@dataclass
class _Trial:
    """Where is asked, as whom, how often; and what came of it so far."""

    url: str
    who: Credentials
    folder: Path
    cases: int
    seed: int
    verdict: Verdict = field(default_factory=Verdict)

    async def ask(self, *selection: str) -> None:
        """Let Schemathesis ask once."""
        report, settings = self.folder / f"schema-{self.seed}.ndjson", self.folder / "schemathesis.toml"
        # Each scenario has several steps: a fourth as many of them are plenty.
        scenarios = f"\n[phases.stateful.generation]\nmax-examples = {max(SCENARIOS, self.cases // 4)}\n"
        settings.write_text(SETTINGS.read_text() + scenarios + _authorization(self.who))
        guest = {GUEST_ID: self.who.guest_id} if self.who.guest_id else {}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
            *("run", f"{self.url}/openapi.json", "--no-color", "--checks", "all"),
            *("--exclude-checks", ",".join(EXCLUDED), "--max-examples", str(self.cases), "--seed", str(self.seed)),
            *("--report", "ndjson", "--report-ndjson-path", str(report), *selection),
            cwd=self.folder,  # it keeps a cache where it runs
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **guest},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        self.verdict.printed += printed.decode()
        _read(report, self.verdict)
        if process.returncode and not self.verdict.failures:
            self.verdict.failures.append(f"Schemathesis ended with {process.returncode}")


def _authorization(who: Credentials) -> str:
    return f'\n[auth.openapi.token]\nbearer = "{who.token}"\n' if who.token else ""


def _read(report: Path, verdict: Verdict) -> None:
    with report.open() as lines:
        for line in lines:
            scenario = json.loads(line).get("ScenarioFinished")
            if scenario:
                _count(scenario["recorder"], verdict)


def _count(recorder: Mapping[str, Any], verdict: Verdict) -> None:
    cases, asked = recorder.get("cases", {}), recorder.get("interactions", {})
    for case_id, case in cases.items():
        operation = f"{case['value']['method']} {case['value']['path']}"
        response = asked.get(case_id, {}).get("response")
        if response:
            verdict.statuses[operation][response["status_code"]] += 1
        verdict.links[operation] += bool(case.get("is_transition_applied"))
        failed = [
            check["name"] for check in recorder.get("checks", {}).get(case_id, ()) if check["status"] == "failure"
        ]
        verdict.failures.extend(f"{operation}: {name}" for name in failed)
