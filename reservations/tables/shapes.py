"""Statements put together of named fragments, for the filters that a search has."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Shaped:
    """A statement and its arguments, in the order of its parameters."""

    sql: str
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Puts statements together from the fragments of a file."""

    fragments: Mapping[str, str] = field(repr=False)

    def shaped(self, name: str, values: Mapping[str, object], **conditions: Iterable[str]) -> Shaped:
        """Return a statement: `{name}` becomes the conditions of that name, joined by AND, or else a parameter."""
        joined = {place: " AND ".join(self.fragments[each] for each in names) for place, names in conditions.items()}
        text = _PLACE.sub(
            lambda place: (joined[place[1]] or "true") if place[1] in joined else place[0], self.fragments[name]
        )
        order = list(dict.fromkeys(_PLACE.findall(text)))
        numbered = _PLACE.sub(lambda place: f"${order.index(place[1]) + 1}", text)
        return Shaped(numbered, tuple(values[each] for each in order))
