"""The history of a round: what happened, as it happened, kept as JSON lines."""

import json
from collections import defaultdict
from pathlib import Path
from time import time
from typing import Any


class Journal:
    """Adds to a file, a line for each thing that happened, and remembers it; `at` is seconds since 1970."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._entries: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def note(self, what: str, **said: Any) -> None:
        """Note that something happened now."""
        entry = {"at": time(), **said}
        self._entries[what].append(entry)
        self._file.write(json.dumps({"what": what, **entry}, default=str) + "\n")

    def all(self, what: str) -> list[dict[str, Any]]:
        """Return what was noted of a kind, in order."""
        return self._entries[what]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
