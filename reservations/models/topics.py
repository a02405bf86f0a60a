"""Every topic of the service: its name, size and retention, declared once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DAY_MS = 24 * 60 * 60 * 1000
#: An original of the largest size that a broker takes by default, with the headers that say why it is there.
MAX_DEAD_LETTER_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created: how long messages are kept, and whether it is this service's to create."""

    name: str
    retention_ms: int
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> str:
        """The last word of the name: short, to be kept with what came in by this topic."""
        return self.name.rpartition(".")[2]


COMMANDS = Topic("novatrek.booking.reservation.commands", 7 * DAY_MS)
BULK_COMMANDS = Topic("novatrek.booking.reservation.commands.bulk", 7 * DAY_MS)
RESULTS = Topic("novatrek.booking.reservation.command-results", DAY_MS)
DEAD_LETTERS = Topic(
    "novatrek.booking.reservation.dead-letters",
    90 * DAY_MS,
    {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)},
)
CREATED = Topic("novatrek.booking.reservation.created", 30 * DAY_MS)
STATUS_CHANGED = Topic("novatrek.booking.reservation.status-changed", 30 * DAY_MS)
PAYMENT_PROCESSED = Topic("novatrek.support.payment.processed", 30 * DAY_MS)

TOPICS = (COMMANDS, BULK_COMMANDS, RESULTS, DEAD_LETTERS, CREATED, STATUS_CHANGED, PAYMENT_PROCESSED)
#: Where commands come in: a lane for callers who wait, and one for imports.
COMMAND_LANES = (COMMANDS, BULK_COMMANDS)
#: What workers read, and where the originals of dead letters are put back.
INTAKE = (*COMMAND_LANES, PAYMENT_PROCESSED)
EVENT_TOPICS = {"reservation.created": CREATED, "reservation.status_changed": STATUS_CHANGED}
