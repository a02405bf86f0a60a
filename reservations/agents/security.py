"""How brokers are reached: the protocol and the login that every Kafka client of a process has."""

from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT


@dataclass(frozen=True, slots=True)
class Security:
    """One login for all clients; a password is never shown."""

    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    context: SSLContext | None = field(default=None, repr=False)

    @property
    def has_login(self) -> bool:
        """Whether a user logs in, rather than a certificate or nobody."""
        return self.protocol.startswith("SASL_")

    def options(self) -> dict[str, Any]:
        """Return the options of aiokafka's clients."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.context}
        if self.has_login:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def credentials(self) -> CredentialsT | None:
        """Return the same for Faust; its SASL credentials take the protocol from whether there is a TLS context."""
        if self.has_login:
            return SASLCredentials(
                username=self.username, password=self.password, ssl_context=self.context, mechanism=self.mechanism
            )
        return SSLCredentials(self.context) if self.context else None


#: Nobody logs in, and nothing is encrypted.
OPEN = Security()
