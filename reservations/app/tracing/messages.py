"""What the spans of messages say, by OpenTelemetry's conventions for messaging and for Kafka."""

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from reservations.agents.intake import Delivery

COMMAND_ID = "reservations.command_id"
COMMAND_TYPE = "reservations.command.type"
RESERVATION_ID = "reservations.reservation_id"
OUTCOME = "reservations.outcome"
CODE = "reservations.code"


def sending(tracer: Tracer, topic: str, key: bytes | None, context: Context | None = None) -> Span:
    """Begin the span of a message that is sent. Only a key that is the service's own is to be named."""
    attributes = _attributes("send", topic)
    if key:
        attributes["messaging.kafka.message.key"] = key.decode("ascii", "replace")
    return tracer.start_span(f"send {topic}", context, SpanKind.PRODUCER, attributes)


def processing(tracer: Tracer, delivery: Delivery, group: str, context: Context) -> Span:
    """Begin the span of a message that is processed. Its key is left out: it is anybody's."""
    attributes = {
        **_attributes("process", delivery.topic),
        **placed(delivery.partition, delivery.offset),
        "messaging.consumer.group.name": group,
    }
    return tracer.start_span(f"process {delivery.topic}", context, SpanKind.CONSUMER, attributes)


def placed(partition: int, offset: int) -> dict[str, AttributeValue]:
    """Say where a message lies on its topic."""
    return {"messaging.destination.partition.id": str(partition), "messaging.kafka.offset": offset}


def _attributes(operation: str, topic: str) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }
