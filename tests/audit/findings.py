"""What the tools of `make audit` find, and what is explained of it."""

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Finding:
    """One thing that a tool found: by which rule, in which file or package, and the line that says it."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        """Return it as it is shown."""
        return f"{self.where}: {self.rule}: {self.text.strip()}"


@dataclass(frozen=True)
class Explained:
    """A finding that is none: rule, file or package, a pattern of the whole line, and why it does no harm."""

    rule: str
    where: str
    pattern: str
    why: str

    def fits(self, finding: Finding) -> bool:
        """Tell whether this is the finding that is meant."""
        same = (self.rule, self.where) == (finding.rule, finding.where)
        return same and re.fullmatch(self.pattern, finding.text.strip()) is not None


@dataclass(frozen=True)
class Report:
    """What a tool came to: what it looked at, what it found, and what it could not look at."""

    tool: str
    looked_at: str
    findings: tuple[Finding, ...] = ()
    not_checked: str = ""


def unexplained(report: Report, explained: Sequence[Explained]) -> list[Finding]:
    """Return the findings that nothing explains."""
    return [found for found in report.findings if not any(each.fits(found) for each in explained)]


def needless(reports: Iterable[Report], explained: Sequence[Explained]) -> list[Explained]:
    """Return the explanations of what no tool finds any more."""
    findings = [found for report in reports for found in report.findings]
    return [each for each in explained if not any(map(each.fits, findings))]


def output(*command: object, good: Sequence[int] = (0,)) -> str:
    """Return what a tool prints. Raises CalledProcessError when it ends with a status that is not good."""
    ended = subprocess.run([str(each) for each in command], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if ended.returncode not in good:
        raise subprocess.CalledProcessError(ended.returncode, ended.args, ended.stdout, ended.stderr)
    return ended.stdout


def line(path: str, number: int) -> str:
    """Return a line of a file of the project."""
    return (REPOSITORY / path).read_text("utf-8", "replace").splitlines()[number - 1]
