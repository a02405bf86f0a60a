"""The table of what rounds came to."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median, quantiles

from tests.faults.rounds import Report


def table(reports: Sequence[Report]) -> str:
    """Return a Markdown table, a line for each fault."""
    by_fault: defaultdict[str, list[Report]] = defaultdict(list)
    for report in reports:
        by_fault[report.fault].append(report)
    head = (
        "| fault | rounds | void | operations | violations | recovery median s | p95 s |\n|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *(_line(fault, each) for fault, each in sorted(by_fault.items())), _line("all", reports)])


def _line(fault: str, reports: Sequence[Report]) -> str:
    counted = [report for report in reports if not report.void]
    recoveries = [report.recovery_s for report in counted if report.recovery_s is not None]
    operations = sum(report.successes for report in counted)
    broken = sum(len(report.violations) for report in reports)
    return (
        f"| {fault} | {len(counted)} | {len(reports) - len(counted)} | {operations:,} | {broken} "
        f"| {_shown(median(recoveries) if recoveries else None)} | {_shown(p95(recoveries))} |"
    )


def p95(values: Sequence[float]) -> float | None:
    """Return the 95th percentile, the largest of few values; None of none."""
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=20, method="inclusive")[-1]


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
