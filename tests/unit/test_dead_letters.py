"""Dead letters: what is read of them, which are meant, and what is put back."""

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from reservations.agents.decoding import Unreadable, decode_payment
from reservations.app.dead_letters import (
    DeadLetter,
    Header,
    Position,
    Selection,
    headers_again,
    instant_of,
    line_of,
    page_of,
    position_of,
    readable,
)
from reservations.app.redriving import _records_before
from reservations.models.commands import RecordPayment, fingerprint, wire
from reservations.models.errors import ErrorCode, Rejected
from reservations.models.results import set_aside
from reservations.models.worksheet import Seen

SET_ASIDE = datetime(2027, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TOPIC = "novatrek.support.payment.processed"
PAYMENT = {
    "event_id": str(uuid4()),
    "event_type": "payment.processed",
    "timestamp": "2027-05-01T10:00:00Z",
    "payment_id": "pay-1",
    "reservation_id": "01900000-0000-7000-8000-000000000000",
    "amount": 100.0,
    "currency": "USD",
    "status": "COMPLETED",
    "payment_method": "CREDIT_CARD",
}


@dataclass
class Delivered:
    """A message as the broker would keep it."""

    value: bytes | None
    headers: Sequence[tuple[str, Any]] | None = ()
    topic: str = TOPIC
    partition: int = 0
    offset: int = 0
    timestamp: float = 0.0
    key: bytes | None = None


def payment(redriven_at: str | bytes | None = None) -> RecordPayment:
    """Return the command in a payment event, whose header says when it was redriven."""
    header = redriven_at.encode() if isinstance(redriven_at, str) else redriven_at
    read = decode_payment(Delivered(json.dumps(PAYMENT).encode(), [("redriven-at", header)]))
    assert not isinstance(read, Unreadable)
    return read


def a_letter(**headers: str) -> DeadLetter:
    """Return a dead letter with these headers, `_` for `-`."""
    told = [(name.replace("_", "-"), text.encode()) for name, text in headers.items()]
    return DeadLetter(Position(3, 1042), b"key", b"{}", told)


def seen_as_set_aside() -> Seen:
    """Return what the inbox knows of the payment, that was set aside."""
    told = set_aside(payment().command_id, Rejected(ErrorCode.PAYMENT_UNCLAIMED, "?"), SET_ASIDE, payment())
    return Seen(fingerprint(payment()), told.shown(), "[]")


@pytest.mark.parametrize(
    ("redriven_at", "revived"),
    [
        (SET_ASIDE + SECOND, True),
        (SET_ASIDE + timedelta(microseconds=1), True),
        (SET_ASIDE, False),
        (SET_ASIDE - SECOND, False),
    ],
)
def test_only_what_was_redriven_after_it_was_set_aside_is_tried_anew(redriven_at: datetime, revived: bool) -> None:
    assert seen_as_set_aside().is_revived_by(payment(redriven_at.isoformat())) is revived


@pytest.mark.parametrize(
    "header", [None, b"", b"\xff", b"soon", b"2027-06-01T12:00:00", b"1780000000", b"2027-13-01T00:00:00Z", b"9" * 999]
)
def test_a_header_that_can_not_be_understood_revives_nothing(header: bytes | None) -> None:
    assert payment(header).redriven_at is None
    assert not seen_as_set_aside().is_revived_by(payment(header))


@pytest.mark.parametrize("header", [b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00"])
def test_a_header_at_the_ends_of_time_breaks_nothing(header: bytes) -> None:
    assert seen_as_set_aside().is_revived_by(payment(header)) is header.startswith(b"9")


def test_nothing_that_waits_or_was_answered_is_tried_anew() -> None:
    redriven = payment((SET_ASIDE + SECOND).isoformat())
    applied = seen_as_set_aside().outcome or ""
    assert not Seen(fingerprint(redriven), None, "[]").is_revived_by(redriven)
    assert not Seen(fingerprint(redriven), applied.replace("dead_lettered", "applied"), "[]").is_revived_by(redriven)


def test_when_a_payment_was_redriven_is_no_part_of_what_it_asks_for() -> None:
    redriven = payment(SET_ASIDE.isoformat())
    assert (wire(redriven), fingerprint(redriven)) == (wire(payment()), fingerprint(payment()))


def test_the_original_s_headers_come_back_in_their_order_with_one_time_of_redriving() -> None:
    now = SET_ASIDE + SECOND
    own: list[Header] = [("b", b"\xff"), ("a", None), ("b", b"again")]
    told: list[Header] = [("dead-letter-at", SET_ASIDE.isoformat().encode()), ("dead-letter-code", b"X")]
    letter = DeadLetter(Position(0, 0), None, b"", [*own[:2], ("redriven-at", b"before"), own[2], *told])
    assert headers_again(letter, now) == [*own, ("redriven-at", now.isoformat().encode())]


def test_a_message_is_redriven_later_than_it_was_set_aside_though_the_clock_here_is_slow() -> None:
    ((_, at),) = headers_again(a_letter(dead_letter_at=SET_ASIDE.isoformat()), SET_ASIDE - SECOND)
    assert at
    assert seen_as_set_aside().is_revived_by(payment(at))


@pytest.mark.parametrize("at", [{}, {"dead_letter_at": "soon"}, {"dead_letter_at": "9999-12-31T23:59:59-14:00"}])
def test_a_dead_letter_without_a_usable_time_is_listed_and_redriven_but_of_no_time(at: dict[str, str]) -> None:
    letter = a_letter(**at)
    assert Selection().takes(letter)
    assert not Selection(since=SET_ASIDE).takes(letter)
    assert not Selection(until=SET_ASIDE).takes(letter)
    assert line_of(letter).split() == ["3:1042", "-", "-", "-/-/-", "key", "2", "bytes"]
    assert headers_again(letter, SET_ASIDE)[-1] == ("redriven-at", SET_ASIDE.isoformat().encode())


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(positions=frozenset([Position(3, 1042), Position(1, 1)])), True),
        (Selection(positions=frozenset([Position(1042, 3)])), False),
        (Selection(code="X", topics=frozenset(["t"]), key="key"), True),
        (Selection(code="Y"), False),
        (Selection(topics=frozenset(["T", "tt"])), False),
        (Selection(key="ke"), False),
        (Selection(code="X", key="other"), False),
        (Selection(since=SET_ASIDE), True),
        (Selection(since=SET_ASIDE + SECOND), False),
        (Selection(until=SET_ASIDE), False),
        (Selection(since=SET_ASIDE, until=SET_ASIDE + SECOND), True),
    ],
)
def test_what_is_meant_must_be_all_that_is_said(selection: Selection, taken: bool) -> None:
    letter = a_letter(dead_letter_code="X", dead_letter_topic="t", dead_letter_at=SET_ASIDE.isoformat())
    assert selection.takes(letter) is taken
    assert selection.is_everything() is (selection == Selection())


def test_what_the_service_says_counts_not_what_the_original_said_under_the_same_name() -> None:
    letter = DeadLetter(Position(0, 0), None, None, [("dead-letter-topic", b"forged"), ("dead-letter-topic", b"true")])
    assert letter.told("topic") == "true"


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "1:x", "-1:1", "1:-1", "1:1:1", " 1:1", "²:1"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        position_of(text)


def test_a_position_is_read_as_it_is_written() -> None:
    assert position_of(str(Position(3, 1042))) == (3, 1042)


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert instant_of("2027-05-01T12:00:00") == instant_of("2027-05-01T14:00:00+02:00") == SET_ASIDE
    with pytest.raises(ValueError, match="is no time"):
        instant_of("yesterday")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\x1b[2J", b"a\nb", "\u202e".encode(), b"\0"])
def test_what_could_harm_a_terminal_or_a_line_is_shown_in_base64(data: bytes) -> None:
    shown = readable(data) or ""
    assert shown.isprintable()
    assert b64decode(shown.removeprefix("base64:")) == data


def test_a_page_shows_every_header_and_the_value() -> None:
    letter = DeadLetter(Position(0, 7), b"\xff", b'{\n\t"a": 1\n}', [("x", None), ("\x1b", b"\0"), ("x", b"y")])
    page = page_of(letter).split("headers:\n")
    assert page[0].startswith("position: 0:7\nat: -\n")
    assert page[1] == '  x: \n  base64:Gw==: base64:AA==\n  x: y\nvalue:\n{\n\t"a": 1\n}'
    assert page_of(DeadLetter(Position(0, 7), b"k", None, [])).endswith("value:\n(none: a tombstone)")


class Gaps:
    """A partition as a consumer reads it: at each poll some records, or only a gap that moves the position."""

    def __init__(self, *polls: tuple[int, list[int]]) -> None:
        self._polls = list(polls)
        self._position = 0

    async def position(self, _: Any) -> int:
        """Return the offset that is read next."""
        return self._position

    async def getmany(self, partition: Any, timeout_ms: int) -> dict[Any, list[Delivered]]:
        """Return the records of a poll."""
        assert timeout_ms > 0
        self._position, offsets = self._polls.pop(0)
        return {partition: [Delivered(b"", offset=offset) for offset in offsets]} if offsets else {}


@pytest.mark.parametrize(
    "polls",
    [
        [(2, [0, 1]), (4, [2, 3])],
        [(0, []), (3, [0, 1, 2, 3]), (4, [])],
        [(2, []), (3, [2]), (5, [])],
        [(4, [])],
        [(9, [0, 3, 4, 8])],
    ],
)
async def test_reading_ends_where_the_end_was_though_no_record_is_there(polls: list[tuple[int, list[int]]]) -> None:
    consumer: Any = Gaps(*polls)
    partition: Any = "partition"
    read = [record.offset async for record in _records_before(4, consumer, partition)]
    assert read == [offset for _, offsets in polls for offset in offsets if offset < 4]
