"""The table in docs/settings.md, as the settings tell it of themselves; run this to write it anew."""

from pathlib import Path

from reservations.app.settings import Settings

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"
HEADER = "| variable | default | meaning |\n|---|---|---|\n"


def table() -> str:
    """Return a row for each setting, below their header."""
    fields = Settings.model_fields.items()
    rows = [f"| `{name.upper()}` | {_shown(field.default)} | {field.description} |" for name, field in fields]
    return HEADER + "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`" if text else "none"


if __name__ == "__main__":
    before, _, _ = DOCUMENT.read_text("utf-8").partition(HEADER)
    DOCUMENT.write_text(before + table(), "utf-8")
