"""Scouting: what a batch needs to know of guests and trips is asked before its transaction begins."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from reservations.agents.neighbours import Neighbours
from reservations.models.commands import AddParticipant, AnyCommand, CreateReservation, UpdateReservation
from reservations.models.decisions import TERMS
from reservations.models.eligibility import Surroundings
from reservations.tables import reservations

if TYPE_CHECKING:
    from reservations.tables.database import AnyPool


class Scout:
    """Finds out whom a batch is about, and asks the neighbours about them."""

    def __init__(self, pool: "AnyPool", neighbours: Neighbours) -> None:
        self._pool = pool
        self._neighbours = neighbours

    async def look_around(self, commands: Sequence[AnyCommand]) -> Surroundings:
        """Return what the neighbours say of the trips and guests that the commands are about."""
        booked = await self._booked(commands)
        trips = {trip for command in commands for trip in _trips(command, booked)}
        guests = {guest for command in commands for guest in _guests(command, booked)}
        return await self._neighbours.surroundings(trips, guests)

    async def _booked(self, commands: Sequence[AnyCommand]) -> Mapping[UUID, reservations.Booked]:
        ids = {command.reservation_id for command in commands if command.reservation_id and _matters(command)}
        if not ids:
            return {}
        async with self._pool.acquire() as connection:
            return await reservations.booked(connection, ids)


def _matters(command: AnyCommand) -> bool:
    """Tell whether a command changes the terms of a booking that exists."""
    if isinstance(command, UpdateReservation):
        return bool(TERMS & command.payload.model_fields_set)
    return isinstance(command, AddParticipant)


def _trips(command: AnyCommand, booked: Mapping[UUID, reservations.Booked]) -> Iterable[UUID]:
    if isinstance(command, CreateReservation):
        yield command.payload.trip_id
    elif command.reservation_id in booked:
        yield booked[command.reservation_id].trip_id


def _guests(command: AnyCommand, booked: Mapping[UUID, reservations.Booked]) -> Iterable[UUID]:
    if isinstance(command, CreateReservation):
        yield command.payload.guest_id
        yield from (guest.guest_id for guest in command.payload.participants)
    elif isinstance(command, AddParticipant):
        yield command.payload.guest_id
    elif command.reservation_id in booked:
        yield from booked[command.reservation_id].guests
