"""What rounds came to, told: `python -m tests.faults.report FILE …` makes a table of what was kept."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles

from tests.faults.checker import Violation
from tests.faults.rounds import Report

MAX_SHOWN = 1500
RESULTS = "results.jsonl"


def line(report: Report) -> str:
    """Return what one round came to."""
    verdict = f"void, {report.void}" if report.void else "FAILED" if report.violations else "passed"
    recovery = f", recovered in {report.recovery_s:.1f} s" if report.recovery_s is not None else ""
    told = f"{report.fault}: {verdict}, {report.successes} operations{recovery}, took {report.took_s:.0f} s"
    if not report.violations:
        return told
    broken = [f"  {str(violation)[:MAX_SHOWN]}" for violation in report.violations]
    return "\n".join([f"{told}; seed {report.seed}, histories in {report.folder}", *broken])


def table(reports: Sequence[Report]) -> str:
    """Return a Markdown table, a line for each fault."""
    by_fault: defaultdict[str, list[Report]] = defaultdict(list)
    for report in reports:
        by_fault[report.fault].append(report)
    head = (
        "| fault | rounds | void | operations | violations | recovery median s | p95 s |\n|---|---|---|---|---|---|---|"
    )
    rows = [_row(fault, by_fault[fault]) for fault in sorted(by_fault)]
    return "\n".join([head, *rows, _row("all", reports)])


def _row(fault: str, reports: Sequence[Report]) -> str:
    counted = [report for report in reports if not report.void]
    recoveries = [report.recovery_s for report in counted if report.recovery_s is not None]
    operations = sum(report.successes for report in counted)
    broken = sum(len(report.violations) for report in reports)
    middle, late = _shown(median(recoveries) if recoveries else None), _shown(p95(recoveries))
    return (
        f"| {fault} | {len(counted)} | {len(reports) - len(counted)} | {operations:,} | {broken} | {middle} | {late} |"
    )


def p95(values: Sequence[float]) -> float | None:
    """Return the 95th percentile; None of none."""
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=20, method="inclusive")[-1]


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def keep(report: Report, file: Path) -> None:
    """Add what a round came to to a file."""
    with file.open("a") as lines:
        lines.write(json.dumps(asdict(report), default=str) + "\n")


def kept(files: Iterable[Path]) -> list[Report]:
    """Return what rounds came to, as it was kept."""
    read = [json.loads(each) for file in files for each in file.read_text().splitlines()]
    return [Report(**{**each, "violations": [Violation(**broken) for broken in each["violations"]]}) for each in read]


if __name__ == "__main__":
    print(table(kept(map(Path, sys.argv[1:]))))
