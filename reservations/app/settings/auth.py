"""Settings of authentication."""

from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_AUDIENCE = "svc-reservations"


class Auth(StrEnum):
    """Whether callers have to say who they are."""

    REQUIRED = "required"
    OFF = "off"


class AuthSettings(BaseSettings):
    """Whose tokens are believed."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    auth: Auth = Auth.REQUIRED
    """`required`, or `off` on a loopback address only. Unset, `make run` on a loopback address takes `off`."""
    auth_issuer: str = ""
    """Who issues the tokens: their claim `iss`."""
    auth_audience: Annotated[str, Field(min_length=1)] = DEFAULT_AUDIENCE
    """For whom the tokens are: what their claim `aud` names."""
    auth_jwks_url: str = ""
    """Where the issuer publishes its keys (JWKS), which may rotate. Or give its one key:"""
    auth_public_key_file: Path | None = None
    """File with the issuer's public key (PEM): RSA from 2,048 bits, P-256, or Ed25519."""
    auth_key_id: str = ""
    """That key's id: what the tokens' header `kid` names."""
    auth_jwks_max_age_s: PositiveFloat = 300
    """Published keys are fetched again after so long; a token of a new key has them fetched at once."""
    auth_leeway_s: Annotated[float, Field(ge=0, le=300)] = 30
    """How far the issuer's clock may be off."""

    @field_validator("auth_jwks_url")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError("must start with https://: who can change the keys on their way can be anybody")
        return value

    def auth_is_missing(self) -> list[str]:
        """Return what has to be set so that tokens can be checked; nothing when they can."""
        missing = [] if self.auth_issuer else ["AUTH_ISSUER"]
        if not self.auth_jwks_url and not (self.auth_public_key_file and self.auth_key_id):
            missing.append("AUTH_JWKS_URL, or AUTH_PUBLIC_KEY_FILE with AUTH_KEY_ID")
        return missing


def is_loopback(host: str) -> bool:
    """Tell whether only programs of this machine reach that address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
