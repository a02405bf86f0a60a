"""Named SQL statements, kept in .sql files beside the modules that run them."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_HEADER = re.compile(r"^-- name:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"--.*")


def names(package: str = __package__) -> dict[str, str]:
    """Return the names of a package's statements, each with its file's, by their texts: `inbox.insert`."""
    found = sorted(file.name for file in files(package).iterdir() if file.name.endswith(".sql"))
    return {
        statement: f"{file_name.removesuffix('.sql')}.{name}"
        for file_name in found
        for name, statement in load(file_name, package).items()
    }


def load(file_name: str, package: str = __package__) -> Mapping[str, str]:
    """Return the statements of a package's .sql file by the name each has in a line `-- name: ...` above it.

    Raises ValueError for a name that is missing or there twice, and for a name without a statement.
    """
    before, *rest = _HEADER.split((files(package) / file_name).read_text("utf-8"))
    if _COMMENT.sub("", before).strip():
        raise ValueError(f"{file_name} begins with a statement that has no name")
    statements: dict[str, str] = {}
    for name, statement in zip(rest[::2], rest[1::2], strict=True):
        if not name.isidentifier() or name in statements:
            raise ValueError(f"{file_name} names a statement {name!r}, which is no name or is there twice")
        if not _COMMENT.sub("", statement).strip():
            raise ValueError(f"{file_name} names {name!r}, but no statement follows")
        statements[name] = statement.strip()
    return MappingProxyType(statements)
