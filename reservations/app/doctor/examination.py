"""The whole examination, one part after the other."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import aiohttp

from reservations.app.doctor import booking_by_kafka
from reservations.app.doctor.booking import GUEST_ID, TRIP_ID, Booking, a_booking
from reservations.app.doctor.booking_by_rest import RestPath
from reservations.app.doctor.broker import examine_broker
from reservations.app.doctor.configuration import examine_settings
from reservations.app.doctor.database import examine_database
from reservations.app.doctor.findings import Finding, Look, guarded, skipped
from reservations.app.doctor.processes import address, examine_process
from reservations.app.settings import Settings

PART_LIMIT_S = 40.0


class By(StrEnum):
    """Which way the doctor's booking goes."""

    REST = "rest"
    KAFKA = "kafka"
    NO_WAY = "no-way"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to examine."""

    by: By = By.REST
    gateway_url: str | None = None
    worker_url: str | None = None
    token: str | None = None
    limit_s: float = 10.0
    guest_id: UUID = GUEST_ID
    trip_id: UUID = TRIP_ID


async def examine(settings: Settings, plan: Plan) -> AsyncIterator[Finding]:
    """Yield what is found, as soon as it is."""
    for finding in examine_settings(settings):
        yield finding
    for check, look in _parts(settings, plan):
        for finding in await guarded(check, look, PART_LIMIT_S + 5 * plan.limit_s):
            yield finding


def _parts(settings: Settings, plan: Plan) -> list[tuple[str, Look]]:
    database, broker = bool(settings.database_url), bool(settings.kafka_bootstrap_servers)
    gateway = plan.gateway_url or address(settings, "gateway")
    return [
        *([("database", lambda: examine_database(settings))] if database else []),
        *([("broker", lambda: examine_broker(settings))] if broker else []),
        ("worker", lambda: examine_process("worker", plan.worker_url or address(settings, "worker"))),
        ("gateway", lambda: examine_process("gateway", gateway)),
        ("booking", lambda: _book(settings, plan, gateway)),
    ]


async def _book(settings: Settings, plan: Plan, gateway: str | None) -> list[Finding]:
    is_priced = bool(settings.trip_catalog_url)
    booking = a_booking(plan.guest_id, plan.trip_id, settings.booking_window_days, is_priced=is_priced)
    if plan.by is By.NO_WAY:
        return [skipped("booking", "as was asked for")]
    if plan.by is By.KAFKA:
        if not settings.kafka_bootstrap_servers:
            return [skipped("booking", "KAFKA_BOOTSTRAP_SERVERS is not set")]
        return await booking_by_kafka.walk(settings, booking, plan.limit_s)
    if gateway is None:
        return [skipped("booking", "the gateway's port is 0, so any: name it with --gateway-url, or book --by kafka")]
    return await _book_by_rest(gateway, plan, booking)


async def _book_by_rest(gateway: str, plan: Plan, booking: Booking) -> list[Finding]:
    headers = {"Authorization": f"Bearer {plan.token}"} if plan.token else {}
    timeout = aiohttp.ClientTimeout(total=plan.limit_s + 5)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        return await RestPath(session, gateway.rstrip("/"), plan.limit_s).walk(booking)
