"""Whether the way to the database is encrypted, and who answers is verified."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

VERIFYING = frozenset({"verify-full", "verify-ca"})
CURE = "add ?sslmode=verify-full&sslrootcert=/path/of/ca.crt to DATABASE_URL"


def unverified_hosts(database_url: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the hosts that would be spoken to without verified TLS; those of this machine need none."""
    query = {name: values[-1] for name, values in parse_qs(urlsplit(database_url).query).items()}
    mode = query.get("sslmode") or environment.get("PGSSLMODE", "")
    if mode.replace("_", "-") in VERIFYING:
        return []
    return [host for host in _hosts(database_url, query, environment) if not _is_here(host)]


def _hosts(database_url: str, query: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """Return the hosts as asyncpg finds them: in the address, its parameters, a service file, the environment."""
    named = unquote(urlsplit(database_url).netloc.rpartition("@")[2]) or query.get("host")
    service = query.get("service") or environment.get("PGSERVICE")
    if not named and service:
        return [f"service {service}"]
    return [_without_port(each) for each in (named or environment.get("PGHOST", "")).split(",") if each]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.startswith("/") or host.count(":") > 1 else host.partition(":")[0]


def _is_here(host: str) -> bool:
    """Tell whether a host is a socket of this machine or a loopback address."""
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
