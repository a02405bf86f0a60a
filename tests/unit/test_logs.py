"""What the libraries say goes out as JSON, and the same not again and again."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from reservations.app import logs


@pytest.fixture
def spoken() -> Iterator[io.TextIOWrapper]:
    """Configure logging to a stream, and leave it as it was."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in logs.TALKATIVE}
    handlers, level = root.handlers[:], root.level
    stream = io.TextIOWrapper(io.BytesIO(), write_through=True)
    logs._configure_libraries("worker", logging.WARNING, stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def lines(stream: io.TextIOWrapper) -> list[str]:
    """Return the events that were logged."""
    stream.seek(0)
    return [json.loads(line)["event"] for line in stream]


def test_what_a_library_repeats_is_said_once(spoken: io.TextIOWrapper) -> None:
    client = logging.getLogger("aiokafka.client")
    for node in range(100):
        client.error("Unable connect to node with id %s", node)
        client.warning("Unable to update metadata")
    logging.getLogger("aiokafka.conn").error("Unable connect to node with id %s", 1)
    assert lines(spoken) == [
        "Unable connect to node with id 0",
        "Unable to update metadata",
        "Unable connect to node with id 1",
    ]


def test_after_a_while_it_is_said_again_and_how_often_meanwhile() -> None:
    now = 0.0
    sparing = logs._Sparing(lambda: now)
    told = []
    for now in (0.0, 1.0, 9.9, 10.0, 25.0):  # noqa: B007 - the clock reads it
        record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "node %s is away", (1,), None)
        if sparing.filter(record):
            told.append(record.getMessage())
    assert told == [
        "node 1 is away",
        "node 1 is away (2 times more since it was last said)",
        "node 1 is away",
    ]


def test_no_more_is_remembered_than_is_needed() -> None:
    sparing = logs._Sparing(lambda: 0.0)
    for number in range(3 * logs.MOST_REMEMBERED):
        assert sparing.filter(logging.LogRecord("library", logging.ERROR, "", 0, f"text {number}", (), None))
    assert len(sparing._said) <= logs.MOST_REMEMBERED
