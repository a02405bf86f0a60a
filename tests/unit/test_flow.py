"""What operators see of what goes on: bounded, in order, and naming nobody."""

import json

import pytest

from reservations.http.flow import MOST_KEPT, RATE_WINDOW_S, Flow
from reservations.models.topics import CREATED, DEAD_LETTERS, RESULTS, STATUS_CHANGED

ID = "01900000-0000-7000-8000-000000000000"


def result(completed_at: str = "2027-05-01T12:00:00Z", **changes: object) -> bytes:
    told = {
        "type": "reservation.create",
        "outcome": "applied",
        "replayed": False,
        "error": None,
        "reservation_id": ID,
        "completed_at": completed_at,
        "reservation": {"special_requirements": "cAnArY"},
        **changes,
    }
    return json.dumps(told).encode()


def event(**changes: object) -> bytes:
    told = {"timestamp": "2027-05-01T12:00:00Z", "event_type": "reservation.created", "reservation_id": ID, **changes}
    return json.dumps(told).encode()


def test_each_kind_of_message_makes_a_line() -> None:
    flow = Flow()
    flow.see(RESULTS.name, result(), (), 0)
    flow.see(RESULTS.name, result(outcome="rejected", error={"code": "PARTY_FULL"}, replayed=True), (), 0)
    flow.see(CREATED.name, event(status="CONFIRMED"), (), 0)
    flow.see(STATUS_CHANGED.name, event(event_type="reservation.status_changed", new_status="CANCELLED"), (), 0)
    letter = {"at": "2027-05-01T12:00:00Z", "topic": "t.commands", "code": "VALIDATION_FAILED"}
    flow.see(DEAD_LETTERS.name, b"cAnArY", [(f"dead-letter-{k}", v.encode()) for k, v in letter.items()], 0)
    lines = [(line.kind, line.what, line.outcome) for line in flow.since(0)]
    assert lines == [
        ("command", "reservation.create", "applied"),
        ("command", "reservation.create", "PARTY_FULL again"),
        ("event", "reservation.created", "CONFIRMED"),
        ("event", "reservation.status_changed", "CANCELLED"),
        ("dead letter", "t.commands", "VALIDATION_FAILED"),
    ]
    assert "cAnArY" not in json.dumps([line.shown() for line in flow.since(0)])


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"1", b'{"type": 1}'])
def test_what_cannot_be_read_is_left_out(value: bytes | None) -> None:
    flow = Flow()
    for topic in (RESULTS, CREATED, STATUS_CHANGED, DEAD_LETTERS):
        flow.see(topic.name, value, (), 0)
    assert flow.since(0) == []


def test_only_the_last_lines_are_kept_and_each_is_given_once() -> None:
    flow = Flow()
    for _ in range(MOST_KEPT + 5):
        flow.see(CREATED.name, event(status="CONFIRMED"), (), 0)
    first = flow.since(0)
    assert [line.number for line in first] == list(range(6, MOST_KEPT + 6))
    assert flow.since(first[-1].number) == []


def test_commands_that_end_together_are_one_batch() -> None:
    flow = Flow()
    for second, size in ((1, 3), (2, 1), (3, 2)):
        for _ in range(size):
            flow.see(RESULTS.name, result(f"2027-05-01T12:00:0{second}Z"), (), 0)
    assert flow.batches() == [3, 1, 2]


def test_rates_are_those_of_the_last_seconds() -> None:
    flow = Flow()
    for second in range(20):
        flow.see(CREATED.name, event(status="CONFIRMED"), (), float(second))
    assert flow.rates(19.0) == {"command": 0, "event": 10 / RATE_WINDOW_S, "dead letter": 0}
    assert flow.rates(100.0)["event"] == 0
