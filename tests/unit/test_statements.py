"""Statements are found by name, and a file that names them badly is refused."""

from pathlib import Path

import pytest

from reservations.tables.statements import load


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an importable package named `kept`."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "kept", raising=False)
    return folder


def test_statements_are_found_by_name(package: Path) -> None:
    (package / "rows.sql").write_text("-- About rows.\n\n-- name: one\nSELECT 1;\n\n-- name: two\n-- twice\nSELECT 2\n")
    assert load("rows.sql", "kept") == {"one": "SELECT 1;", "two": "-- twice\nSELECT 2"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 1;\n-- name: two\nSELECT 2;", "begins with a statement that has no name"),
        ("-- name:\nSELECT 1;", "which is no name or is there twice"),
        ("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;", "'one', which is no name or is there twice"),
        ("-- name: one\n-- nothing\n-- name: two\nSELECT 2;", "names 'one', but no statement follows"),
    ],
)
def test_a_file_that_names_statements_badly_is_refused(package: Path, text: str, reason: str) -> None:
    (package / "rows.sql").write_text(text)
    with pytest.raises(ValueError, match=reason):
        load("rows.sql", "kept")
