"""A service to try: worker and gateway on embedded servers, with limits that are out of the way."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

from reservations.migrations.runner import migrate
from tests.databases import scratch_database
from tests.schema.trial import Credentials
from tests.service import Service, a_service
from tests.tokens import Issuer, a_guest, a_partner
from tests.tokens import a_service as another_service

#: What would only say that one caller asks much, and guesses codes.
UNLIMITED = {
    "RATE_LIMIT_PER_S": "100000",
    "RATE_BURST": "100000",
    "WRONG_CODES_ALLOWED": "100000000",
    "MAX_COMMAND_BACKLOG": "1000000",
}
TOKEN_LIFE_S = 24 * 3600
GUEST_ID = uuid4()
ROLES: Mapping[str, Mapping[str, Any]] = {
    "staff": {},
    "guest": a_guest(GUEST_ID),
    "partner": a_partner(),
    "service": another_service("read", "write"),
}
NOBODY = "none"


def credentials(role: str, issuer: Issuer) -> Credentials:
    """Return what a role asks with."""
    if role == NOBODY:
        return Credentials()
    token = issuer.token({**ROLES[role], "exp": int(time()) + TOKEN_LIFE_S})
    return Credentials(token, str(GUEST_ID) if role == "guest" else None)


@asynccontextmanager
async def a_guarded_service(
    server_url: str, kafka: str, demands: Mapping[str, str], issuer: Issuer, folder: Path
) -> AsyncIterator[Service]:
    """Give a running service that asks for the issuer's tokens."""
    environment = {**issuer.environment(folder), **UNLIMITED, **demands}
    async with scratch_database(server_url) as database:
        await migrate(database)
        async with a_service(database, kafka, "", folder, environment) as service:
            await asyncio.gather(service.start("worker"), service.start("gateway"))
            yield service
