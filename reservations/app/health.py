"""Whether the process of this container is alive, as its platform asks it."""

from http.client import HTTPConnection, HTTPException

from reservations.app.settings import Settings

PATH = "/health/live"
ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def is_alive(settings: Settings, limit_s: float) -> bool:
    """Tell whether a gateway or worker answers here, and all that answer are alive."""
    addresses = (
        (settings.reservations_http_host, settings.reservations_http_port),
        (settings.reservations_worker_http_host, settings.reservations_worker_http_port),
    )
    statuses = [_status(ANYWHERE.get(host, host), port, limit_s) for host, port in addresses]
    return {status for status in statuses if status is not None} == {200}


def _status(host: str, port: int, limit_s: float) -> int | None:
    connection = HTTPConnection(host, port, timeout=limit_s)
    try:
        connection.request("GET", PATH)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
