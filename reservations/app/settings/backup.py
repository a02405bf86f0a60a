"""Settings of what watches the backups."""

from typing import Annotated

from pydantic import Field, PositiveFloat
from pydantic_settings import BaseSettings, SettingsConfigDict


class BackupSettings(BaseSettings):
    """Which backups are watched, and how old they may be."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    backup_stanza: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$")] = "reservations"
    """Name under which pgBackRest keeps the database's backups."""
    backup_max_age_h: PositiveFloat = 26
    """`reservations backup status` complains when the last backup is older."""
    wal_archive_max_age_s: PositiveFloat = 900
    """`reservations backup status` complains when the last WAL was archived longer ago."""
