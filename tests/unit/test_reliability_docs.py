"""The page on reliability lists what the fault harness plays."""

from pathlib import Path

from tests.faults.faults import FAULTS
from tests.faults.mutants import MUTANTS
from tests.unit.test_docs import REPOSITORY, code, rows

RELIABILITY: Path = REPOSITORY / "docs" / "reliability.md"


def test_the_page_lists_every_fault() -> None:
    assert [name for name, _ in rows(RELIABILITY, "fault", "what happens")] == [code(name) for name in FAULTS]


def test_the_page_lists_every_mutant() -> None:
    assert [name for name, _ in rows(RELIABILITY, "mutant", "the defect")] == [code(name) for name in MUTANTS]


def test_a_mutant_names_faults_that_there_are() -> None:
    assert {fault for mutant in MUTANTS.values() for fault in mutant.faults} <= FAULTS.keys()
