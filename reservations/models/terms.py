"""The terms of a booking: who may travel, and what it costs, by what the neighbours say."""

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from uuid import UUID

from reservations.models.eligibility import Surroundings, Trip, failed_requirements, price, unavailable
from reservations.models.errors import ErrorCode, Rejected, invalid_field
from reservations.models.steps import Context

#: Without neighbours there are no terms.
NOWHERE = Surroundings()
#: The trip catalog has its prices in this currency.
CATALOG_CURRENCY = "USD"


def agree(
    context: Context,
    *,
    trip_id: UUID,
    trip_date: date,
    party_size: int,
    booker: UUID,
    party: Collection[UUID],
    offered: Decimal | None,
    currency: str,
    agreed: Decimal | None = None,
    priced: bool = True,
) -> Decimal | Rejected:
    """Return the total that a booking comes to, or why it can't be had.

    The catalog's price holds where there is a catalog; else what is offered, else what was agreed before.
    """
    refusal = refuse_terms(
        context, trip_id=trip_id, trip_date=trip_date, party_size=party_size, booker=booker, party=party
    )
    if refusal:
        return refusal
    trip = context.surroundings.trip(trip_id)
    if isinstance(trip, Trip) and priced:
        return _catalog_price(trip, party_size, offered, currency)
    amount = agreed if offered is None else offered
    return invalid_field("total_amount", "is required") if amount is None else amount


def refuse_terms(
    context: Context, *, trip_id: UUID, trip_date: date, party_size: int, booker: UUID, party: Collection[UUID]
) -> Rejected | None:
    """Return why these guests can't take this trip, all reasons together."""
    surroundings = context.surroundings
    if surroundings == NOWHERE:
        return None
    if unavailable(surroundings, trip_id, {booker, *party}):
        return Rejected(
            ErrorCode.UPSTREAM_UNAVAILABLE,
            "Guest profiles or the trip catalog can't be asked now; nothing was changed, try again.",
        )
    failed = failed_requirements(
        surroundings,
        trip_id=trip_id,
        trip_date=trip_date,
        party_size=party_size,
        booker=booker,
        party=party,
        today=context.now.date(),
        booking_window_days=context.rules.booking_window_days,
    )
    if not failed:
        return None
    told = [{"requirement": each.requirement, "detail": each.detail} for each in failed]
    reasons = " ".join(each.detail for each in failed)
    return Rejected(ErrorCode.GUEST_NOT_ELIGIBLE, reasons, {"failed_requirements": told})


def capacity_of(trip_id: UUID, context: Context) -> int | None:
    """Return the seats of a trip date, if the catalog was asked."""
    trip = context.surroundings.trip(trip_id)
    return trip.max_participants if isinstance(trip, Trip) else None


def _catalog_price(trip: Trip, party_size: int, offered: Decimal | None, currency: str) -> Decimal | Rejected:
    if currency != CATALOG_CURRENCY:
        return invalid_field("currency", f"must be {CATALOG_CURRENCY}, in which the catalog prices the trip")
    amount = price(trip, party_size)
    if offered is not None and offered != amount:
        return invalid_field("total_amount", f"is {offered}, but the catalog's price is {amount}; leave it out")
    return amount
