"""Ids that carry a time, and confirmation codes that carry a month.

A reservation's id is a UUIDv7 (RFC 9562, section 5.7): its first 48 bits are the millisecond it was made, so the
tables are partitioned by it. Participants and history rows repeat their reservation's 48 bits, to lie in its month.
"""

import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from uuid import UUID

Entropy = Callable[[int], bytes]

ENTROPY_BYTES = 4096
CROCKFORD_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in CROCKFORD_BASE32 for second in CROCKFORD_BASE32]
FIRST_MONTH_YEAR = 2000
MAX_ORDINAL = (1 << 12) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION, _VARIANT = 7 << 76, 2 << 62
_AFTER_TIME = (1 << 80) - 1
_AFTER_VARIANT = (1 << 62) - 1


class BufferedEntropy:
    """Random bytes of the operating system, fetched a page at a time: a call for each id costs more than the id."""

    def __init__(self, source: Entropy = secrets.token_bytes) -> None:
        self._source = source
        self._bytes = b""
        self._used = 0

    def __call__(self, count: int) -> bytes:
        """Return so many bytes (at most a page), each given once."""
        if self._used + count > len(self._bytes):
            self._bytes, self._used = self._source(ENTROPY_BYTES), 0
        self._used += count
        return self._bytes[self._used - count : self._used]


def uuid7(unix_ms: int, entropy: Entropy = secrets.token_bytes) -> UUID:
    """Return a UUIDv7 of that millisecond with 74 random bits."""
    random = int.from_bytes(entropy(10), "big")
    return _uuid7(unix_ms, random >> 64 & MAX_ORDINAL, random)


def _uuid7(unix_ms: int, ordinal: int, random: int) -> UUID:
    return UUID(int=unix_ms << 80 | _VERSION | ordinal << 64 | _VARIANT | random & _AFTER_VARIANT)


def unix_ms(instant: datetime) -> int:
    """Return the whole milliseconds since 1970, rounded down."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def unix_ms_of(uuid: UUID) -> int:
    """Return the millisecond that a UUIDv7 carries."""
    return uuid.int >> 80


def time_of(uuid: UUID) -> datetime:
    """Return the instant that a UUIDv7 carries, in UTC, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=unix_ms_of(uuid))


def kin_of(reservation_id: UUID, ordinal: int, entropy: Entropy = secrets.token_bytes) -> UUID:
    """Return a new id for a row that belongs to this reservation: in its month, sorted by the ordinal (modulo 4096)."""
    return _uuid7(unix_ms_of(reservation_id), ordinal & MAX_ORDINAL, int.from_bytes(entropy(8), "big"))


def kin_range(first: UUID, last: UUID) -> tuple[UUID, UUID]:
    """Return the lowest and highest id that rows of the reservations from first to last can have."""
    return UUID(int=first.int >> 80 << 80), UUID(int=last.int | _AFTER_TIME)


def in_order(ids: Iterable[UUID]) -> list[UUID]:
    """Return ids sorted; comparing numbers is several times as fast as comparing ids."""
    return sorted(ids, key=attrgetter("int"))


def is_uuid7(uuid: UUID) -> bool:
    """Tell whether an id is a UUIDv7."""
    return uuid.version == 7


def confirmation_code(made_at: datetime, entropy: Entropy = secrets.token_bytes) -> str:
    """Return 12 Crockford base-32 characters: 2 for the month it was made (from 2000-01), 10 random (50 bits)."""
    month = (made_at.year - FIRST_MONTH_YEAR) * 12 + made_at.month - 1
    number = month << 50 | int.from_bytes(entropy(7), "big") >> 6
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(50, -1, -10)])
