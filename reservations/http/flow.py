"""What happened lately, for people who watch: commands, events and dead letters as they come, and how many."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from reservations.models.topics import CREATED, DEAD_LETTERS, RESULTS, STATUS_CHANGED

WATCHED = (RESULTS, CREATED, STATUS_CHANGED, DEAD_LETTERS)
MOST_KEPT = 200
#: Rates are those of the last so many seconds.
RATE_WINDOW_S = 10.0
MAX_STAMPS = 20_000

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of what happened; it names nobody."""

    number: int
    at: str
    kind: str
    what: str
    outcome: str
    reservation_id: str

    def shown(self) -> dict[str, object]:
        """Return it as the page gets it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Flow:
    """The last happenings, numbered; the sizes of the last batches; how often each kind came."""

    def __init__(self) -> None:
        self._lines: deque[Happening] = deque(maxlen=MOST_KEPT)
        self._number = 0
        self._stamps: deque[tuple[float, str]] = deque(maxlen=MAX_STAMPS)
        self._batches: deque[tuple[str, int]] = deque(maxlen=60)

    def see(self, topic: str, value: bytes | None, headers: Headers, now_s: float) -> None:
        """Take in a message of a watched topic (its name without prefix); what can't be read is left out."""
        try:
            line = _READERS[topic](value or b"", dict(headers))
        except (ValueError, KeyError, TypeError):
            return
        self._number += 1
        self._lines.append(Happening(self._number, **line))
        self._stamps.append((now_s, line["kind"]))
        if line["kind"] == "command":
            self._count_batch(line["at"])

    def since(self, number: int) -> list[Happening]:
        """Return what happened after that number, as far as it is kept."""
        return [line for line in self._lines if line.number > number]

    def rates(self, now_s: float) -> Mapping[str, float]:
        """Return how many of each kind came in a second lately."""
        counts = {"command": 0, "event": 0, "dead letter": 0}
        for stamp_s, kind in self._stamps:
            counts[kind] += stamp_s > now_s - RATE_WINDOW_S
        return {kind: count / RATE_WINDOW_S for kind, count in counts.items()}

    def batches(self) -> list[int]:
        """Return the sizes of the last batches, the newest last; what is decided together ends together."""
        return [size for _, size in self._batches]

    def _count_batch(self, completed_at: str) -> None:
        if self._batches and self._batches[-1][0] == completed_at:
            self._batches[-1] = (completed_at, self._batches[-1][1] + 1)
        else:
            self._batches.append((completed_at, 1))


def _result(value: bytes, _: Mapping[str, bytes]) -> dict[str, Any]:
    told = orjson.loads(value)
    error = told["error"] or {}
    repeated = " again" if told["replayed"] else ""
    return {
        "at": told["completed_at"],
        "kind": "command",
        "what": str(told["type"]),
        "outcome": str(error.get("code") or told["outcome"]) + repeated,
        "reservation_id": str(told["reservation_id"] or ""),
    }


def _event(value: bytes, _: Mapping[str, bytes]) -> dict[str, Any]:
    told = orjson.loads(value)
    return {
        "at": told["timestamp"],
        "kind": "event",
        "what": told["event_type"],
        "outcome": told.get("new_status") or told["status"],
        "reservation_id": told["reservation_id"],
    }


def _dead_letter(_: bytes, headers: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "at": headers["dead-letter-at"].decode(),
        "kind": "dead letter",
        "what": headers["dead-letter-topic"].decode(),
        "outcome": headers["dead-letter-code"].decode(),
        "reservation_id": "",
    }


_READERS = {RESULTS.name: _result, CREATED.name: _event, STATUS_CHANGED.name: _event, DEAD_LETTERS.name: _dead_letter}
