"""Dead letters: what each one tells, which of them are meant, and the message that it was."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from reservations.agents.publications import DEAD_LETTER, REDRIVEN_AT

Header = tuple[str, bytes | None]

_TICK = timedelta(microseconds=1)


class Position(NamedTuple):
    """Where a dead letter lies in its topic: written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


def position_of(text: str) -> Position:
    """Return the position that a text such as `3:1042` names.

    Raises:
        ValueError: it names none.

    """
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise ValueError(f"{text!r} is no position; 3:1042 is one: partition 3, offset 1042.")
    return Position(int(partition), int(offset))


def instant_of(text: str) -> datetime:
    """Return the time that a text in ISO 8601 names, in UTC if it names no zone.

    Raises:
        ValueError: it names none.

    """
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time in ISO 8601, as in 2027-05-01T12:00:00Z.") from None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letters topic: the original's key, bytes and headers, and headers that tell of it."""

    position: Position
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]

    def told(self, name: str) -> str | None:
        """Return what the header `dead-letter-<name>` says; the last one is the service's own."""
        return readable(dict(self.headers).get(DEAD_LETTER + name))

    @property
    def at(self) -> datetime | None:
        """When it was set aside."""
        try:
            return instant_of(self.told("at") or "")
        except ValueError:
            return None

    @property
    def size_bytes(self) -> int:
        """The size of the original's value."""
        return len(self.value or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant: those of which all is true that is said here."""

    positions: frozenset[Position] = frozenset()
    code: str | None = None
    topics: frozenset[str] = frozenset()
    """Names of the topic that it came from."""
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The first instant that is too late."""

    def is_everything(self) -> bool:
        """Tell whether nothing is said, so that all are meant."""
        return self == Selection()

    def takes(self, letter: DeadLetter) -> bool:
        """Tell whether a dead letter is meant."""
        return (
            (not self.positions or letter.position in self.positions)
            and self.code in (None, letter.told("code"))
            and (not self.topics or letter.told("topic") in self.topics)
            and (self.key is None or letter.key == self.key.encode())
            and self._takes_time(letter.at)
        )

    def _takes_time(self, at: datetime | None) -> bool:
        if at is None:
            return self.since is None and self.until is None
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def headers_again(letter: DeadLetter, now: datetime) -> list[Header]:
    """Return the headers with which the original is put back: its own, and when that is."""
    own = [(name, value) for name, value in letter.headers if not name.startswith(DEAD_LETTER) and name != REDRIVEN_AT]
    # Later than it was set aside, however wrong the clock here goes: else the worker would not try it anew.
    at = max(now, letter.at + _TICK) if letter.at else now
    return [*own, (REDRIVEN_AT, at.isoformat().encode())]


def readable(data: bytes | None, also: str = "") -> str | None:
    """Return bytes as the text they are, if all of it can be printed or is in `also`, else in base64."""
    if data is None:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return text if all(each.isprintable() or each in also for each in text) else f"base64:{b64encode(data).decode()}"


def row_of(letter: DeadLetter) -> dict[str, Any]:
    """Return what a list shows of a dead letter, fit for JSON: nothing of its value."""
    return {
        "position": str(letter.position),
        "at": letter.at and letter.at.isoformat(),
        "code": letter.told("code"),
        "topic": letter.told("topic"),
        "partition": _number(letter.told("partition")),
        "offset": _number(letter.told("offset")),
        "key": readable(letter.key),
        "size_bytes": letter.size_bytes,
    }


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def line_of(letter: DeadLetter) -> str:
    """Return what a list shows of a dead letter, as a line; `-` stands for what is not known."""
    row = {name: "-" if value is None else value for name, value in row_of(letter).items()}
    source = f"{row['topic']}/{row['partition']}/{row['offset']}"
    return f"{row['position']:<9} {row['at']:<32} {row['code']:<25} {source}  {row['key']}  {row['size_bytes']} bytes"


def page_of(letter: DeadLetter) -> str:
    """Return everything about a dead letter: what a list shows, its headers, its value."""
    rows = [f"{name}: {'-' if value is None else value}" for name, value in row_of(letter).items()]
    headers = [f"  {readable(name.encode())}: {readable(value) or ''}" for name, value in letter.headers]
    value = readable(letter.value, also="\n\t")
    return "\n".join([*rows, "headers:", *headers, "value:", "(none: a tombstone)" if value is None else value])
