"""Every setting of the service: one environment variable each, validated once at start."""

import sys

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from reservations.app.settings.auth import AuthSettings
from reservations.app.settings.backup import BackupSettings
from reservations.app.settings.booking import BookingSettings
from reservations.app.settings.database import DatabaseSettings
from reservations.app.settings.kafka import KafkaSettings
from reservations.app.settings.kafka_security import KafkaSecuritySettings
from reservations.app.settings.limits import LimitSettings
from reservations.app.settings.process import ProcessSettings
from reservations.app.settings.tracing import TracingSettings

#: A password, and an address that may hold one.
SECRET = {"DATABASE_URL", "KAFKA_SASL_PASSWORD"}


class Settings(
    BackupSettings,
    BookingSettings,
    LimitSettings,
    AuthSettings,
    TracingSettings,
    ProcessSettings,
    KafkaSecuritySettings,
    KafkaSettings,
    DatabaseSettings,
):
    """Settings by environment; each field's name in upper case is its variable. Units stand last in the names."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


def load_settings() -> Settings:
    """Return the settings of this process, or end it with a message that names each wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        sys.exit("These settings are not usable:\n" + "\n".join(f"  {line}" for line in complaints(error)))


def complaints(error: ValidationError) -> list[str]:
    """Say of each wrong variable what is wrong with it; no secret is repeated."""
    return [_complaint(str(each["loc"][0]).upper(), each["msg"], each["input"]) for each in error.errors()]


def _complaint(name: str, message: str, value: object) -> str:
    given = f" (got {value!r})" if value != "" and name not in SECRET else ""
    return f"{name}: {message.removeprefix('Value error, ')}{given}"
