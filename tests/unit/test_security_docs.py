"""What SECURITY.md names is there."""

import re

from reservations import __version__
from tests.unit.test_docs import REPOSITORY, rows

DOCUMENT = REPOSITORY / "SECURITY.md"
LINK = re.compile(r"\[([^]]+)\]\(([^)#]+)\)")


def test_every_control_names_where_it_is_and_a_test_that_shows_it() -> None:
    for control, where, shown in rows(DOCUMENT, "control", "where", "which test shows it"):
        assert control
        for cell in (where, shown):
            links = LINK.findall(cell)
            assert cell == ", ".join(f"[{path}]({path})" for path, _ in links), cell
            assert all((REPOSITORY / path).exists() for _, path in links), cell


def test_what_shows_a_control_is_a_test() -> None:
    for _, _, shown in rows(DOCUMENT, "control", "where", "which test shows it"):
        for _, path in LINK.findall(shown):
            assert re.search(r"^(async )?def test_", (REPOSITORY / path).read_text("utf-8"), re.MULTILINE), path


def test_the_supported_version_is_this_one() -> None:
    supported = re.search(r"^Version (\d+\.\d+):", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert supported
    assert __version__.startswith(f"{supported[1]}.")
