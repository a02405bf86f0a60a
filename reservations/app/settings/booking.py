"""Settings of the rules of a booking."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from reservations.agents.clock import Deadlines
from reservations.models.steps import Rules
from reservations.models.topics import COMMAND_LANES, DAY_MS, PAYMENT_PROCESSED

#: A message may come again for as long as its topic keeps it.
LONGEST_DAYS = max(topic.retention_ms for topic in (*COMMAND_LANES, PAYMENT_PROCESSED)) // DAY_MS


class BookingSettings(BaseSettings):
    """Whom to ask, and what the house decides."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    guest_profiles_url: str = ""
    """Address of svc-guest-profiles. When unset, its rules of eligibility do not hold."""
    trip_catalog_url: str = ""
    """Address of svc-trip-catalog. When unset, its rules, prices and numbers of seats do not hold."""
    eligibility_budget_s: PositiveFloat = 5
    """Longest time a batch waits for the neighbours."""
    booking_window_days: PositiveInt = 730
    """How far ahead a trip may be booked."""
    deposit_ratio: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.25")
    """Share of the total that confirms a PENDING reservation once it is paid."""
    hold_hours: PositiveFloat = 24
    """How long a PENDING reservation waits for its payment before it is cancelled."""
    no_show_hours: Annotated[float, Field(ge=0)] = 0
    """How long after the end of the trip date who has not checked in becomes a NO_SHOW; 0 = never."""
    parked_payment_days: PositiveFloat = 7
    """How long a payment waits for its reservation before a person must look at it."""
    inbox_retention_days: PositiveInt = 90
    """How long a command that was answered is remembered; longer than any topic or dead letter may bring it again."""
    clock_interval_s: PositiveFloat = 60
    """How often a worker looks for what is due."""

    @property
    def has_neighbours(self) -> bool:
        """Whether a neighbour is configured."""
        return bool(self.guest_profiles_url or self.trip_catalog_url)

    def eligibility(self) -> str:
        """Say whose rules hold."""
        asked = {"guest profiles": self.guest_profiles_url, "trip catalog": self.trip_catalog_url}
        names = [name for name, url in asked.items() if url]
        return f"asks {' and '.join(names)}" if names else "local rules only: no neighbour is configured"

    def deadlines(self) -> Deadlines:
        """Return how long things may wait."""
        no_show = timedelta(hours=self.no_show_hours) if self.no_show_hours else None
        return Deadlines(
            hold=timedelta(hours=self.hold_hours),
            no_show=no_show,
            parked=timedelta(days=self.parked_payment_days),
            inbox=timedelta(days=self.inbox_retention_days),
        )

    def rules(self) -> Rules:
        """Return what the house decides."""
        return Rules(self.deposit_ratio, self.booking_window_days)

    @field_validator("inbox_retention_days")
    @classmethod
    def _outlasts_what_may_come_again(cls, value: int, info: ValidationInfo) -> int:
        letters_days = info.data.get("dead_letter_retention_days", 0)
        if value <= LONGEST_DAYS:
            raise ValueError(f"must be longer than topics keep commands and payments, so more than {LONGEST_DAYS}")
        if value < letters_days:
            raise ValueError(f"must not be less than DEAD_LETTER_RETENTION_DAYS, so at least {letters_days}")
        return value

    @field_validator("guest_profiles_url", "trip_catalog_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with https://, or http:// for a simulation")
        return value.rstrip("/")
