"""Settings of the way to secured brokers: encryption, and who logs in."""

import ssl
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from reservations.agents.security import Security


class Protocol(StrEnum):
    """Whether messages are encrypted (SSL), and whether a user logs in (SASL)."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class Mechanism(StrEnum):
    """How a password is proved."""

    SCRAM_SHA_512 = "SCRAM-SHA-512"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"


LOGIN = (Protocol.SASL_PLAINTEXT, Protocol.SASL_SSL)
ENCRYPTED = (Protocol.SSL, Protocol.SASL_SSL)


class KafkaSecuritySettings(BaseSettings):
    """Each field is checked against those above it, so that all that is wrong is told at once."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    kafka_security_protocol: Protocol = Protocol.PLAINTEXT
    """`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`; see [Kafka security](security-kafka.md)."""
    kafka_sasl_mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    """`SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`."""
    kafka_sasl_username: str = ""
    """User who logs in."""
    kafka_sasl_password_file: str = ""
    """File that holds the user's password."""
    kafka_sasl_password: SecretStr = SecretStr("")
    """The user's password, where it can't be in a file."""
    kafka_ssl_ca_file: str = ""
    """PEM file of the authorities that brokers' certificates must come from. When unset, those of the system."""
    kafka_ssl_certificate_file: str = ""
    """PEM file of the certificate that this process shows (mTLS)."""
    kafka_ssl_key_password_file: str = ""
    """File that holds the password of the key, if it has one."""
    kafka_ssl_key_file: str = ""
    """PEM file of the certificate's key."""

    def kafka_security(self) -> Security:
        """Return how brokers are reached; files are read now."""
        protocol = self.kafka_security_protocol
        context = None
        if protocol in ENCRYPTED:
            context = ssl.create_default_context(cafile=self.kafka_ssl_ca_file or None)
            if self.kafka_ssl_certificate_file:
                _load_chain(
                    context,
                    self.kafka_ssl_certificate_file,
                    self.kafka_ssl_key_file,
                    self.kafka_ssl_key_password_file,
                )
        if protocol not in LOGIN:
            return Security(protocol, context=context)
        return Security(protocol, self.kafka_sasl_mechanism, self.kafka_sasl_username, self._password(), context)

    def kafka_security_in_short(self) -> str:
        """Say how brokers are reached, and never with which password."""
        protocol = self.kafka_security_protocol
        return f"{protocol} {self.kafka_sasl_mechanism}" if protocol in LOGIN else str(protocol)

    def _password(self) -> str:
        file = self.kafka_sasl_password_file
        return _first_line(file) if file else self.kafka_sasl_password.get_secret_value()

    @field_validator("kafka_sasl_mechanism")
    @classmethod
    def _keeps_passwords_hidden(cls, value: Mechanism, info: ValidationInfo) -> Mechanism:
        bare = info.data.get("kafka_security_protocol") == Protocol.SASL_PLAINTEXT
        away = [server for server in _servers(info) if not _is_loopback(server)]
        if bare and value == Mechanism.PLAIN and away:
            raise ValueError(
                f"the password would travel in the clear to {', '.join(away)}; "
                "set KAFKA_SECURITY_PROTOCOL=SASL_SSL, or a SCRAM mechanism"
            )
        return value

    @field_validator("kafka_sasl_username")
    @classmethod
    def _is_there_to_log_in(cls, value: str, info: ValidationInfo) -> str:
        protocol = info.data.get("kafka_security_protocol")
        if protocol in LOGIN and not value:
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} needs it: the name of the user who logs in")
        return _used_by(LOGIN, value, protocol)

    @field_validator("kafka_sasl_password_file")
    @classmethod
    def _holds_a_password(cls, value: str, info: ValidationInfo) -> str:
        if value and not _first_line(_readable(value)):
            raise ValueError("the file is empty; write the password into it")
        return _used_by(LOGIN, value, info.data.get("kafka_security_protocol"))

    @field_validator("kafka_sasl_password")
    @classmethod
    def _is_told_once(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        protocol, file = info.data.get("kafka_security_protocol"), info.data.get("kafka_sasl_password_file")
        if value and file:
            raise ValueError("unset it: KAFKA_SASL_PASSWORD_FILE holds the password")
        if protocol in LOGIN and not value and file == "":
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} needs it, or better KAFKA_SASL_PASSWORD_FILE")
        _used_by(LOGIN, value.get_secret_value(), protocol)
        return value

    @field_validator("kafka_ssl_ca_file")
    @classmethod
    def _holds_authorities(cls, value: str, info: ValidationInfo) -> str:
        if value:
            try:
                ssl.create_default_context(cafile=_readable(value))
            except ssl.SSLError:
                raise ValueError("holds no certificate of an authority in PEM form") from None
        return _used_by(ENCRYPTED, value, info.data.get("kafka_security_protocol"))

    @field_validator("kafka_ssl_certificate_file")
    @classmethod
    def _is_readable(cls, value: str, info: ValidationInfo) -> str:
        return _used_by(ENCRYPTED, _readable(value), info.data.get("kafka_security_protocol"))

    @field_validator("kafka_ssl_key_password_file")
    @classmethod
    def _holds_a_key_password(cls, value: str) -> str:
        return _readable(value)

    @field_validator("kafka_ssl_key_file")
    @classmethod
    def _fits_the_certificate(cls, value: str, info: ValidationInfo) -> str:
        certificate = info.data.get("kafka_ssl_certificate_file")
        password_file = info.data.get("kafka_ssl_key_password_file", "")
        if certificate and not value:
            raise ValueError("KAFKA_SSL_CERTIFICATE_FILE needs it: the PEM file of the certificate's key")
        if value and certificate == "":
            raise ValueError("KAFKA_SSL_CERTIFICATE_FILE is needed with it: the certificate that the key belongs to")
        if certificate:
            _load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, _readable(value), password_file)
        return value


def _used_by(protocols: tuple[Protocol, ...], value: str, protocol: Protocol | None) -> str:
    """Return a value; refuse one that is set and would not be used, for whoever set it believes that it is."""
    if value and protocol and protocol not in protocols:
        raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} does not use it; set that to {' or '.join(protocols)}")
    return value


def _readable(path: str) -> str:
    """Return a path whose file can be read, or an empty one."""
    if path:
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ValueError(
                f"the file can't be read ({error.strerror}); name one that this process may read"
            ) from None
    return path


def _first_line(path: str) -> str:
    return Path(path).read_text("utf-8").partition("\n")[0].removesuffix("\r")


def _load_chain(context: ssl.SSLContext, certificate: str, key: str, password_file: str) -> None:
    # Always with a password: without one OpenSSL would ask for it on the terminal.
    password = _first_line(password_file) if password_file else ""
    try:
        context.load_cert_chain(certificate, key, lambda: password)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(
            "can't be used with KAFKA_SSL_CERTIFICATE_FILE; it must be that certificate's key, "
            f"and KAFKA_SSL_KEY_PASSWORD_FILE must hold its password if it has one ({_reason(error)})"
        ) from None


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or type(error).__name__)


def _servers(info: ValidationInfo) -> list[str]:
    return [server.strip() for server in info.data.get("kafka_bootstrap_servers", "").split(",") if server.strip()]


def _is_loopback(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
