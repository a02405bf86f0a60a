"""What goes out: events, results and dead letters, as Kafka messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from reservations.agents.intake import Delivery
from reservations.models.commands import RecordPayment
from reservations.models.errors import Rejected
from reservations.models.events import Announcement
from reservations.models.payments import event_of
from reservations.models.results import CommandResult
from reservations.models.topics import DEAD_LETTERS, EVENT_TOPICS, RESULTS
from reservations.models.worksheet import Outcome

Headers = Sequence[tuple[str, bytes]]

CLOUD_EVENTS_VERSION = b"1.0"
CLOUD_EVENTS_SOURCE = b"/novatrek/svc-reservations"
JSON = ("content-type", b"application/json")
TRACE_CONTEXT = ("traceparent", "tracestate")
#: Begins the names of the headers that say of a dead letter where from, when and why.
DEAD_LETTER = "dead-letter-"
#: Names the header of a message that a person has put back on its topic: when, ISO 8601 with a zone.
REDRIVEN_AT = "redriven-at"
#: Names the header of an event that was published again from history: when, ISO 8601 with a zone.
REPLAYED_AT = "replayed-at"


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to be published. Those of a later wave are sent when the waves before them are acknowledged."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    wave: int = 0


def event(cause: Delivery, announcement: Announcement, wave: int) -> Publication:
    """Return an event with its CloudEvents attributes (Kafka binding, binary mode) and the trace of its cause."""
    return _event(announcement, trace_of(cause), wave)


def event_again(announcement: Announcement, at: datetime, wave: int) -> Publication:
    """Return an event of the past with its CloudEvents attributes, and a header of no such attribute: when that is."""
    return _event(announcement, [(REPLAYED_AT, at.isoformat().encode())], wave)


def _event(announcement: Announcement, more: Headers, wave: int) -> Publication:
    headers = [
        JSON,
        ("ce_specversion", CLOUD_EVENTS_VERSION),
        ("ce_id", announcement.event_id.encode()),
        ("ce_source", CLOUD_EVENTS_SOURCE),
        ("ce_type", announcement.event_type.encode()),
        ("ce_time", announcement.timestamp.encode()),
        ("ce_subject", announcement.reservation_id.encode()),
        *more,
    ]
    topic = EVENT_TOPICS[announcement.event_type].name
    return Publication(topic, announcement.reservation_id.encode(), announcement.value.encode(), headers, wave)


def results(cause: Delivery, outcome: Outcome, wave: int) -> list[Publication]:
    """Return the result of a command, and those of the payments that had waited for it; none of one that waits."""
    told = [each for each in (outcome, *outcome.released) if each.result is not None]
    return [_result(cause, each, str(each.result), wave) for each in told]


def _result(cause: Delivery, outcome: Outcome, result: str, wave: int) -> Publication:
    key = outcome.reservation_id or outcome.command.command_id
    return Publication(RESULTS.name, str(key).encode(), result.encode(), [JSON, *trace_of(cause)], wave)


def result_aside(cause: Delivery, told: CommandResult) -> Publication:
    """Return the result of a command that went to the dead letters."""
    key = str(told.reservation_id or told.command_id).encode()
    return Publication(RESULTS.name, key, told.shown().encode(), [JSON, *trace_of(cause)])


def dead_letter(original: Delivery, reason: Rejected, at: datetime) -> Publication:
    """Return a message as it came, bytes and headers, with headers that say where from, when and why."""
    headers = [
        *headers_of(original),
        (f"{DEAD_LETTER}code", reason.code.encode()),
        (f"{DEAD_LETTER}reason", reason.message.encode()),
        (f"{DEAD_LETTER}topic", original.topic.encode()),
        (f"{DEAD_LETTER}partition", str(original.partition).encode()),
        (f"{DEAD_LETTER}offset", str(original.offset).encode()),
        (f"{DEAD_LETTER}first-seen", _instant(original.timestamp).encode()),
        (f"{DEAD_LETTER}at", at.isoformat().encode()),
    ]
    # The client sends nothing that has neither key nor value.
    key = b"" if original.key is None and original.value is None else original.key
    return Publication(DEAD_LETTERS.name, key, original.value, headers)


def payment_dead_letter(payment: RecordPayment, topic: str, reason: Rejected, at: datetime) -> Publication:
    """Return a payment that had waited, as the event it came as, from that topic."""
    value = event_of(payment).model_dump_json().encode()
    headers = [
        JSON,
        (f"{DEAD_LETTER}code", reason.code.encode()),
        (f"{DEAD_LETTER}reason", reason.message.encode()),
        (f"{DEAD_LETTER}topic", topic.encode()),
        (f"{DEAD_LETTER}first-seen", payment.issued_at.isoformat().encode()),
        (f"{DEAD_LETTER}at", at.isoformat().encode()),
    ]
    return Publication(DEAD_LETTERS.name, str(payment.reservation_id).encode(), value, headers)


def _instant(unix_s: float) -> str:
    """Return a message's time, which is the producer's to choose, as ISO 8601 if it can be said so."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{unix_s} s"


def headers_of(delivery: Delivery) -> list[tuple[str, bytes]]:
    """Return the headers of a message in their order."""
    return list(delivery.headers or ())


def trace_of(cause: Delivery) -> list[tuple[str, bytes]]:
    """Return the W3C trace context headers of a message."""
    return [(name, value) for name, value in headers_of(cause) if name in TRACE_CONTEXT and value is not None]
