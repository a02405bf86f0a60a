"""What every peer does about a command: the same rows as this service writes, one transaction per command or batch.

It knows bookings only, which is all that W1 asks for, and checks less of them than the service does: what that saves is
to the peers' advantage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson

from reservations.tables.statements import load
from tests.bench.peers.booking import Booking

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
SQL = load("effect.sql", __package__)
#: The statements of a booking, in the order of the service's locks.
EFFECT = ("take_seats", "claim_day", "reserve", "join_party", "record")
REPLAYED = '"replayed":false', '"replayed":true'


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be published of a command: its events, if it was applied, and its result."""

    key: bytes
    events: Sequence[bytes]
    result: bytes


async def book(connection: Connection, booking: Booking) -> Told:
    """Do one command in a transaction of its own; what the database refuses is answered so, and remembered."""
    try:
        async with connection.transaction():
            if not await _remember(connection, booking.applied):
                return await _told_before(connection, booking)
            for name in EFFECT:
                await connection.execute(SQL[name], *booking.rows[name])
    except asyncpg.IntegrityConstraintViolationError:
        if not await _remember(connection, booking.refused):
            return await _told_before(connection, booking)
        return Told(booking.key, (), booking.refused.outcome.encode())
    return _told_now(booking)


async def book_all(connection: Connection, bookings: Sequence[Booking]) -> list[Told]:
    """Do commands in one transaction; one by one, when the database refuses something among them."""
    try:
        return await _book_together(connection, bookings)
    except asyncpg.IntegrityConstraintViolationError:
        return [await book(connection, booking) for booking in bookings]


async def _book_together(connection: Connection, bookings: Sequence[Booking]) -> list[Told]:
    async with connection.transaction():
        before = await _inbox(connection, bookings)
        new = {booking.command_id: booking for booking in bookings if booking.command_id not in before}
        await connection.executemany(SQL["remember"], [booking.applied for booking in new.values()])
        for name in EFFECT:
            # In one order, so that two transactions never wait for each other in a circle.
            await connection.executemany(SQL[name], sorted((each.rows[name] for each in new.values()), key=_by_key))
    return [_told_now(new[each.command_id]) if each.command_id in new else before[each.command_id] for each in bookings]


def _by_key(row: Sequence[Any]) -> Any:
    return row[:2]


async def _remember(connection: Connection, entry: Sequence[Any]) -> bool:
    return bool(await connection.execute(SQL["remember"], *entry) == "INSERT 0 1")


async def _told_before(connection: Connection, booking: Booking) -> Told:
    return (await _inbox(connection, [booking]))[booking.command_id]


async def _inbox(connection: Connection, bookings: Sequence[Booking]) -> Mapping[UUID, Told]:
    keys = {booking.command_id: booking.key for booking in bookings}
    rows = await connection.fetch(SQL["told"], list(keys))
    return {row["message_id"]: _told_again(keys[row["message_id"]], row) for row in rows}


def _told_again(key: bytes, row: asyncpg.Record) -> Told:
    events = [orjson.dumps(event) for event in orjson.loads(row["publications"])]
    return Told(key, events, row["outcome"].replace(*REPLAYED).encode())


def _told_now(booking: Booking) -> Told:
    return Told(booking.key, (booking.event,), booking.applied.outcome.encode())
