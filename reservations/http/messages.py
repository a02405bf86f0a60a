"""What goes in and out by Kafka: each message declared once, with an example, and each topic with its messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from reservations.http.examples import CREATED_EXAMPLE, PAYMENT_EXAMPLE, RESULT_EXAMPLES, STATUS_EXAMPLE, a_command
from reservations.http.schemas import Face
from reservations.models import topics
from reservations.models.commands import (
    AddParticipant,
    CancelReservation,
    CreateReservation,
    TransitionReservation,
    UpdateReservation,
)
from reservations.models.events import ReservationCreated, StatusChanged
from reservations.models.payments import PaymentProcessed
from reservations.models.results import CommandResult
from reservations.models.topics import Topic

BY_RESERVATION = "The reservation_id."
BY_COMMAND = "The reservation_id, or the command_id where there is no reservation_id."


@dataclass(frozen=True, slots=True)
class Header:
    """A header of a message: what it says, an example, and whether it may be missing."""

    meaning: str
    example: str
    required: bool = True


CONTENT_TYPE = Header("Always JSON.", "application/json")
TRACE = {
    "traceparent": Header(
        "The trace that the message belongs to (W3C Trace Context).",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        required=False,
    ),
    "tracestate": Header("What other tracing systems add to it.", "vendor=00f067aa0ba902b7", required=False),
}
ASKING = {
    **TRACE,
    "redriven-at": Header(
        "When a person put the message back from the dead letters.", "2027-05-02T08:00:00+00:00", required=False
    ),
}
TELLING = {"content-type": CONTENT_TYPE, **TRACE}
ABOUT_A_DEAD_LETTER = {
    "dead-letter-code": Header("Why, as a code.", "VALIDATION_FAILED"),
    "dead-letter-reason": Header("Why, for people.", "The message is empty: a tombstone asks for nothing."),
    "dead-letter-topic": Header("The topic that it came from.", topics.COMMANDS.name),
    "dead-letter-partition": Header("The partition that it came from.", "3", required=False),
    "dead-letter-offset": Header("The offset that it came from.", "1042", required=False),
    "dead-letter-first-seen": Header("When it was sent.", "2027-05-01T12:00:00+00:00"),
    "dead-letter-at": Header("When it was set aside.", "2027-05-01T12:00:01+00:00"),
}


def _cloud_event(event: Mapping[str, Any]) -> dict[str, Header]:
    return {
        "content-type": CONTENT_TYPE,
        "ce_specversion": Header("The version of CloudEvents.", "1.0"),
        "ce_id": Header("The event_id: drop what was seen by it.", event["event_id"]),
        "ce_source": Header("Who tells it.", "/novatrek/svc-reservations"),
        "ce_type": Header("The event_type.", event["event_type"]),
        "ce_time": Header("The timestamp.", event["timestamp"]),
        "ce_subject": Header("The reservation_id.", event["reservation_id"]),
        **TRACE,
        "replayed-at": Header("When it was told again, if it was.", "2027-07-01T08:00:00+00:00", required=False),
    }


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its model (none when it may be anything), its key, and the field that ties it to its answer."""

    name: str
    summary: str
    face: Face | None
    key: str
    headers: Mapping[str, Header]
    examples: Mapping[str, Any] = field(default_factory=dict)
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic with the messages on it: what this service does with them, and whether it answers."""

    topic: Topic
    name: str
    summary: str
    action: str
    operation_id: str
    messages: Sequence[Message]
    is_answered: bool = False


def _command(model: type[BaseModel], example: str) -> Message:
    asked = a_command(example)
    summary = str(model.__doc__).partition("\n")[0]
    return Message(model.__name__, summary, (model, "validation"), BY_COMMAND, ASKING, {example: asked}, "command_id")


COMMANDS = (
    _command(CreateReservation, "reservation.create"),
    _command(UpdateReservation, "reservation.update"),
    _command(CancelReservation, "reservation.cancel"),
    _command(TransitionReservation, "reservation.transition"),
    _command(AddParticipant, "participant.add"),
)
PAYMENT = Message(
    "PaymentProcessed",
    "Money moved for a reservation; svc-payments tells it. Further fields are let through.",
    (PaymentProcessed, "validation"),
    BY_RESERVATION,
    ASKING,
    {"deposit": PAYMENT_EXAMPLE},
    "event_id",
)
RESULT = Message(
    "CommandResult",
    "What became of a command, or of a payment: its event_id is the command_id then.",
    (CommandResult, "serialization"),
    BY_COMMAND,
    TELLING,
    RESULT_EXAMPLES,
    "command_id",
)
CREATED = Message(
    "ReservationCreated",
    "A reservation was made.",
    (ReservationCreated, "serialization"),
    BY_RESERVATION,
    _cloud_event(CREATED_EXAMPLE),
    {"booked": CREATED_EXAMPLE},
)
STATUS_CHANGED = Message(
    "StatusChanged",
    "A reservation moved to another status.",
    (StatusChanged, "serialization"),
    BY_RESERVATION,
    _cloud_event(STATUS_EXAMPLE),
    {"arrived": STATUS_EXAMPLE},
)
DEAD_LETTER = Message(
    "DeadLetter",
    "A message as it came, key, bytes and headers, with headers that say where from, when and why.",
    None,
    "As the message had it; empty when it had neither key nor value.",
    ABOUT_A_DEAD_LETTER,
)

RESULTS = Channel(
    topics.RESULTS, "commandResults", "What became of each command and payment.", "send", "sendCommandResult", (RESULT,)
)
CHANNELS = (
    Channel(
        topics.COMMANDS,
        "commands",
        "Commands of callers who wait for what becomes of them.",
        "receive",
        "receiveCommand",
        COMMANDS,
        is_answered=True,
    ),
    Channel(
        topics.BULK_COMMANDS,
        "bulkCommands",
        "The same commands in a lane of their own, for imports. Between the lanes there is no order.",
        "receive",
        "receiveBulkCommand",
        COMMANDS,
        is_answered=True,
    ),
    Channel(
        topics.PAYMENT_PROCESSED,
        "paymentProcessed",
        "Payments and refunds, from svc-payments.",
        "receive",
        "receivePayment",
        (PAYMENT,),
        is_answered=True,
    ),
    RESULTS,
    Channel(topics.CREATED, "created", CREATED.summary, "send", "sendReservationCreated", (CREATED,)),
    Channel(
        topics.STATUS_CHANGED, "statusChanged", STATUS_CHANGED.summary, "send", "sendStatusChanged", (STATUS_CHANGED,)
    ),
    Channel(
        topics.DEAD_LETTERS,
        "deadLetters",
        "Messages that could not be handled, for a person to look at.",
        "send",
        "sendDeadLetter",
        (DEAD_LETTER,),
    ),
)
