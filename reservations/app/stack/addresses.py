"""Where the service listens: choosing the addresses, asking whether it is ready there, and telling people."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from reservations.app.stack.home import Home, free_port, is_free
from reservations.app.stack.neighbours import EXAMPLE_TRIP
from reservations.app.stack.programs import StackError
from reservations.app.stack.supervisor import Say

PROGRESS_EVERY_S = 5
ASK_LIMIT_S = 2
TRIP_AHEAD = timedelta(days=60)


@dataclass(frozen=True)
class Address:
    """Where one of the service's programs listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Return the address for a client on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def listen_at(host: str, port: int, variable: str) -> Address:
    """Return the address to listen on, a free port for 0. Raises StackError when somebody else listens there."""
    if port and not is_free(host, port):
        raise StackError(
            f"Port {port} on {host} is in use by another program. Stop that one, or choose another port, "
            f"as in {variable}={free_port(host)}."
        )
    return Address(host, port or free_port(host))


class Readiness:
    """Asks a program whether it is ready, and tells every few seconds what it answers instead."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tell: Say) -> None:
        """Keep whom to ask and whom to tell."""
        self._session, self._url, self._tell = session, url, tell
        self._tell_at = time.monotonic() + PROGRESS_EVERY_S

    async def is_ready(self) -> bool:
        """Tell whether the program answers 200."""
        try:
            limit = aiohttp.ClientTimeout(total=ASK_LIMIT_S)
            async with self._session.get(self._url, timeout=limit) as response:
                if response.status == 200:
                    return True
                answer = f"{response.status} {(await response.text())[:200]}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            answer = f"no answer yet ({type(error).__name__})"
        if time.monotonic() > self._tell_at:
            self._tell_at = time.monotonic() + PROGRESS_EVERY_S
            self._tell(f"{self._url}: {answer}")
        return False


def summary(
    home: Home, gateway: Address, worker: Address, env: dict[str, str], env_file: Path, *, simulated: bool
) -> str:
    """Return where everything is, and a request to try."""
    body = (
        f'{{"guest_id": "{uuid4()}", "trip_id": "{EXAMPLE_TRIP}", "awaiting_payment": true, '
        f'"trip_date": "{(datetime.now(UTC) + TRIP_AHEAD).date()}", "party_size": 2, "total_amount": 398.00}}'
    )
    paid = " The simulated payments service pays its deposit within seconds:" if simulated else ""
    return f"""
svc-reservations runs. Ctrl-C stops it.

  REST        {gateway.url}/reservations
  API pages   {gateway.url}/docs
  Messages    {gateway.url}/asyncapi
  Metrics     {gateway.url}/metrics  {worker.url}/metrics
  PostgreSQL  {without_password(env["DATABASE_URL"])}
  Brokers     {env["KAFKA_BOOTSTRAP_SERVERS"]}
  Guests      {env.get("GUEST_PROFILES_URL") or "not asked: no GUEST_PROFILES_URL"}
  Trips       {env.get("TRIP_CATALOG_URL") or "not asked: no TRIP_CATALOG_URL"}
  State       {home.path}
  Logs        {home.path / "log"}
  Addresses   . {env_file}

Make a reservation; it begins PENDING.{paid}

  curl -i {gateway.url}/reservations -H 'Content-Type: application/json' \\
    -d '{body}'
"""


def without_password(dsn: str) -> str:
    """Return a database address that may be shown."""
    parts = urlsplit(dsn)
    return dsn.replace(f":{parts.password}@", "@", 1) if parts.password else dsn
