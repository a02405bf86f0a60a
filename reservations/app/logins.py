"""Telling brokers that let nobody in from brokers that are away: aiokafka reports both alike."""

import ssl
from collections.abc import Iterator

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from reservations.app.settings import Settings
from reservations.app.settings.kafka_security import LOGIN, Protocol

LOGIN_LIMIT_MS = 5000
REFUSALS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    ssl.SSLError,
)
#: The connection ended in the middle of a handshake, as it does when a broker stops.
CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class LoginRefusedError(Exception):
    """A broker is there and lets this process not in; trying again would change nothing."""


async def check_login(settings: Settings) -> None:
    """Knock at the brokers until one lets this process in, or all were asked; that they are away is for others to say.

    Raises:
        LoginRefusedError: a broker refused the login or the certificate, or has a certificate that is not trusted.

    """
    if settings.kafka_security_protocol == Protocol.PLAINTEXT:
        return
    refusals = []
    for server in settings.kafka_bootstrap_servers.split(","):
        refusal, is_in = await _knock(server.strip(), settings)
        if is_in:
            return
        if refusal:
            refusals.append(f"{server.strip()}: {refusal}")
    if refusals:
        raise LoginRefusedError(f"{_login(settings)} was refused by {'; '.join(refusals)}. {_cure(settings)}")


async def _knock(server: str, settings: Settings) -> tuple[str | None, bool]:
    """Return why a broker refuses, if it does, and whether it lets this process in."""
    host, _, port = server.rpartition(":")
    options = settings.kafka_security().options()
    try:
        connection = await create_conn(host.strip("[]"), int(port), request_timeout_ms=LOGIN_LIMIT_MS, **options)
    except (KafkaError, OSError, TimeoutError) as error:
        refusal = next((each for each in _causes(error) if _is_refusal(each)), None)
        return (_reason(refusal) if refusal else None), False
    connection.close()
    return None, True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, REFUSALS) and not isinstance(error, CUT_OFF)


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({getattr(error, 'verify_message', error)})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({getattr(error, 'reason', None) or error})"
    return str(error)


def _login(settings: Settings) -> str:
    if settings.kafka_security_protocol in LOGIN:
        return f"The login of {settings.kafka_sasl_username!r} by {settings.kafka_security_in_short()}"
    return "A connection by SSL"


def _cure(settings: Settings) -> str:
    names = []
    if settings.kafka_security_protocol in LOGIN:
        names += ["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE or KAFKA_SASL_PASSWORD", "KAFKA_SASL_MECHANISM"]
    if settings.kafka_security_protocol != Protocol.SASL_PLAINTEXT:
        names += ["KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERTIFICATE_FILE"]
    return f"Check {', '.join(names)}, and that the port is that of {settings.kafka_security_protocol}."
