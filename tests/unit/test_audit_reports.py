"""What `make audit` makes of what its tools say."""

import pytest

from tests.audit.__main__ import lines
from tests.audit.explained import EXPLAINED
from tests.audit.findings import Explained, Finding, Report, needless, unexplained
from tests.audit.packages import answered, files, is_allowed, vulnerable

FOUND = Finding("B105", "reservations/x.py", 'NAME = "file"  # why\n')
REPORT = Report("bandit", "1 file", (FOUND,))


@pytest.mark.parametrize(
    ("rule", "where", "pattern", "fits"),
    [
        ("B105", "reservations/x.py", "NAME = .*", True),
        ("B106", "reservations/x.py", "NAME = .*", False),
        ("B105", "reservations/y.py", "NAME = .*", False),
        ("B105", "reservations/x.py", "NAME = ", False),
    ],
)
def test_an_explanation_is_of_one_rule_in_one_file_on_lines_that_it_knows(
    rule: str, where: str, pattern: str, fits: bool
) -> None:
    explained = [Explained(rule, where, pattern, "because")]
    assert (unexplained(REPORT, explained) == []) is fits
    assert (needless([REPORT], explained) == []) is fits


def test_every_explanation_says_why() -> None:
    assert all(each.why for each in EXPLAINED)


def test_what_nothing_explains_is_shown() -> None:
    assert list(lines(REPORT)) == [
        "bandit: 1 file, 1 findings",
        '  reservations/x.py: B105: NAME = "file"  # why',
    ]


def test_what_could_not_be_checked_is_not_shown_as_checked() -> None:
    (said,) = lines(Report("pip-audit", "2 packages", not_checked="nobody answered"))
    assert said == "pip-audit: NOT CHECKED, nobody answered: 2 packages"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("MIT", True),
        ("Apache Software License; MIT License", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MIT AND GPL-3.0-only", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_every_licence_that_is_named_must_be_allowed(text: str, allowed: bool) -> None:
    assert is_allowed(text) is allowed


def test_a_service_that_knows_no_package_has_not_answered() -> None:
    unknown = {"name": "idna", "skip_reason": "not found"}
    assert not answered([])
    assert not answered([unknown])
    assert answered([unknown, {"name": "six", "version": "1", "vulns": []}])


def test_vulnerabilities_and_unknown_packages_are_findings() -> None:
    weak = {"name": "six", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    found = list(vulnerable([{"name": "idna", "skip_reason": "not found"}, weak]))
    assert found == [Finding("not known", "idna", "not found"), Finding("CVE-1", "six", "1, corrected in 2")]


def test_a_package_in_two_versions_is_asked_for_twice() -> None:
    assert files(["a==1", "a==2", "b==1"]) == [["a==1", "b==1"], ["a==2"]]
