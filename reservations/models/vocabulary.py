"""The words of a booking: statuses and their transitions, roles, sources, reasons.

They are stored in lower case and shown in upper case.
"""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """Where a reservation stands."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    GEAR_ASSIGNED = "GEAR_ASSIGNED"
    CHECKED_IN = "CHECKED_IN"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    NO_SHOW = "NO_SHOW"


class BookingSource(StrEnum):
    """Where a booking came from."""

    WEB_DIRECT = "WEB_DIRECT"
    MOBILE_APP = "MOBILE_APP"
    PARTNER_API = "PARTNER_API"
    CALL_CENTER = "CALL_CENTER"
    WALK_IN = "WALK_IN"
    TRAVEL_AGENT = "TRAVEL_AGENT"


class CancellationReason(StrEnum):
    """Why a caller cancels."""

    GUEST_REQUEST = "GUEST_REQUEST"
    WEATHER = "WEATHER"
    GUIDE_UNAVAILABLE = "GUIDE_UNAVAILABLE"
    MINIMUM_NOT_MET = "MINIMUM_NOT_MET"
    SAFETY_CONCERN = "SAFETY_CONCERN"
    DUPLICATE = "DUPLICATE"


#: Why the service itself moves a reservation.
PAYMENT_TIMEOUT, NO_SHOW_TIMEOUT = "PAYMENT_TIMEOUT", "NO_SHOW_TIMEOUT"


class Role(StrEnum):
    """What a participant is in the party."""

    GUEST = "GUEST"
    PRIMARY = "PRIMARY"
    COMPANION = "COMPANION"
    MINOR = "MINOR"


class PaymentStatus(StrEnum):
    """What happened to the money."""

    COMPLETED = "COMPLETED"
    REFUNDED = "REFUNDED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"


class PaymentCurrency(StrEnum):
    """Currencies that payments are made in."""

    USD = "USD"
    CAD = "CAD"
    EUR = "EUR"
    GBP = "GBP"


class PaymentMethod(StrEnum):
    """How it was paid."""

    CREDIT_CARD = "CREDIT_CARD"
    DEBIT_CARD = "DEBIT_CARD"
    LOYALTY_POINTS = "LOYALTY_POINTS"
    PARTNER_CREDIT = "PARTNER_CREDIT"


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.CONFIRMED, Status.CANCELLED}),
    Status.CONFIRMED: frozenset({Status.GEAR_ASSIGNED, Status.CHECKED_IN, Status.CANCELLED, Status.NO_SHOW}),
    Status.GEAR_ASSIGNED: frozenset({Status.CONFIRMED, Status.CHECKED_IN, Status.CANCELLED, Status.NO_SHOW}),
    Status.CHECKED_IN: frozenset({Status.IN_PROGRESS, Status.CANCELLED}),
    Status.IN_PROGRESS: frozenset({Status.COMPLETED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.NO_SHOW: frozenset(),
}

#: From here a reservation goes nowhere; it holds no seats and no day of its guest.
FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)

#: Until the guest arrives a booking may be changed: its date, its party, what it costs.
MODIFIABLE = frozenset({Status.PENDING, Status.CONFIRMED, Status.GEAR_ASSIGNED})


def stored(word: StrEnum) -> str:
    """Return the word as the database keeps it."""
    return word.value.lower()
