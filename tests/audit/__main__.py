"""Look for weak code, secrets, vulnerable dependencies and odd licences: `python -m tests.audit FOLDER-OF-TOOLS`."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.audit.code import secrets, weak_code
from tests.audit.explained import EXPLAINED
from tests.audit.findings import Report, needless, unexplained
from tests.audit.packages import licences, vulnerabilities


def main() -> None:
    """Run every tool; exit 1 if one found what nothing explains."""
    tools = Path(sys.argv[1]).absolute()
    with ThreadPoolExecutor() as threads:
        reports = list(threads.map(lambda look: look(tools), (weak_code, secrets, vulnerabilities, licences)))
    wrong = False
    for report in reports:
        wrong |= bool(unexplained(report, EXPLAINED))
        sys.stdout.writelines(f"{line}\n" for line in lines(report))
    for each in needless(reports, EXPLAINED):
        wrong = True
        sys.stdout.write(f"tests/audit/explained.py: nothing is found any more by {each.rule} in {each.where}\n")
    sys.exit(wrong)


def lines(report: Report) -> Iterator[str]:
    """Give what is said of a tool's report."""
    if report.not_checked:
        yield f"{report.tool}: NOT CHECKED, {report.not_checked}: {report.looked_at}"
        return
    left: Sequence[object] = unexplained(report, EXPLAINED)
    explained = len(report.findings) - len(left)
    yield f"{report.tool}: {report.looked_at}, {len(left)} findings" + (f", {explained} explained" if explained else "")
    yield from (f"  {each}" for each in left)


if __name__ == "__main__":
    main()
