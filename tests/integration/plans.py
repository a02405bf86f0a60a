"""What a prepared statement does: which tables it looks at and how, after so many executions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.databases import Connection

Node = Mapping[str, Any]
EXECUTIONS = 10
#: How many plans of its own and how many of the shared kind a statement was run with.
COUNTS = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE name = $1"
ROWS = "SELECT relname, reltuples FROM pg_class WHERE relnamespace = 'reservations'::regnamespace AND relkind = 'r'"


@dataclass(frozen=True, slots=True)
class Look:
    """A table that was looked at, and how."""

    table: str
    how: str
    index: str | None


@dataclass(frozen=True, slots=True)
class Plans:
    """What a statement looked at when it was new, and after it was run several times."""

    first: frozenset[Look]
    later: frozenset[Look]
    generic: int

    @property
    def looks(self) -> frozenset[Look]:
        """Everything that was looked at."""
        return self.first | self.later


async def plans_of(connection: Connection, sql: str, arguments: Sequence[object]) -> Plans:
    """Prepare a statement as asyncpg does for a pool, run it several times, and tell what it looks at."""
    statement = await connection.prepare(sql)
    kinds = [each.name.removesuffix("[]") + "[]" * each.name.endswith("[]") for each in statement.get_parameters()]
    literals = [await _literal(connection, *each) for each in zip(arguments, kinds, strict=True)]
    execute = f"{statement.get_name()}({', '.join(literals)})" if literals else statement.get_name()
    first = await _looks(connection, execute)
    for _ in range(EXECUTIONS):
        await statement.fetch(*arguments)
    later = await _looks(connection, execute)
    _, generic = await connection.fetchrow(COUNTS, statement.get_name()) or (0, 0)
    return Plans(first, later, generic)


async def _literal(connection: Connection, value: object, kind: str) -> str:
    literal: str = await connection.fetchval(f"SELECT quote_nullable($1::{kind}::text)", value)
    return f"{literal}::{kind}"


async def _looks(connection: Connection, execute: str) -> frozenset[Look]:
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {execute}")
    return frozenset(_tables(json.loads(explained)[0]["Plan"], await _filled_tables(connection)))


def _tables(node: Node, filled: frozenset[str]) -> Iterator[Look]:
    for each in _nodes(node):
        # A plan that serves any arguments names every month; those it passes over when it runs have no loops.
        # Of an empty month it does not matter how it is read.
        if "Relation Name" in each and each["Actual Loops"] and each["Relation Name"] in filled:
            yield Look(each["Relation Name"], each["Node Type"], _index_of(each))


def _index_of(scan: Node) -> str | None:
    names = sorted(each["Index Name"] for each in _nodes(scan) if "Index Name" in each)
    return ", ".join(names) or None


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


async def _filled_tables(connection: Connection) -> frozenset[str]:
    return frozenset(row["relname"] for row in await connection.fetch(ROWS) if row["reltuples"] > 0)
