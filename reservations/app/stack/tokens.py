"""Who may call the service that runs here: anybody on this machine, or who has a token, also one that is made here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from reservations.app.settings import Settings
from reservations.app.settings.auth import Auth, is_loopback
from reservations.app.stack.home import Home
from reservations.app.stack.programs import StackError

ISSUER = "svc-reservations-development"
KEY_ID = "development"
KEY_FILE, PUBLIC_KEY_FILE = "token-key.pem", "token-public-key.pem"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Issues tokens with the private key in a file. Whoever can read that file can be anybody."""

    key_file: Path
    audience: str

    def issue(self, claims: Mapping[str, Any], lifetime: timedelta) -> str:
        """Return a signed token that says this of its bearer, from now on."""
        now = datetime.now(UTC)
        issued = {"iss": ISSUER, "aud": self.audience, "iat": now, "exp": now + lifetime}
        return jwt.encode({**claims, **issued}, self.key_file.read_bytes(), "EdDSA", {"kid": KEY_ID})


def access(settings: Settings, home: Home) -> dict[str, str]:
    """Return the settings that say who may call: what was chosen, else anybody on this machine.

    Raises:
        StackError: that would let in who reaches the address from elsewhere.

    """
    chosen, missing = "auth" in settings.model_fields_set, settings.auth_is_missing()
    if settings.auth is Auth.REQUIRED and not missing:
        return {"AUTH": Auth.REQUIRED}
    if settings.auth is Auth.REQUIRED and chosen:
        return {"AUTH": Auth.REQUIRED, **development_issuer(home)}
    if not is_loopback(settings.reservations_http_host):
        raise StackError(
            f"Whoever reaches {settings.reservations_http_host} could do everything. Set AUTH=required, with "
            f"{' and '.join(missing)} or to use tokens that `reservations token` makes; or listen on 127.0.0.1."
        )
    return {"AUTH": Auth.OFF}


def development_issuer(home: Home) -> dict[str, str]:
    """Return the settings by which tokens of a key in the state folder are believed; make the key if it is missing."""
    if home.secret(KEY_FILE) is None:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (home.path / PUBLIC_KEY_FILE).write_bytes(public)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        home.keep_secret(KEY_FILE, private.decode().strip())
    return {
        "AUTH_ISSUER": ISSUER,
        "AUTH_PUBLIC_KEY_FILE": str(home.path / PUBLIC_KEY_FILE),
        "AUTH_KEY_ID": KEY_ID,
        "AUTH_JWKS_URL": "",
    }


def said(access_settings: Mapping[str, str]) -> str:
    """Put into words who may call."""
    if access_settings["AUTH"] == Auth.OFF:
        return "OPEN: whoever reaches this address may do everything. AUTH=required asks for tokens."
    if access_settings.get("AUTH_ISSUER") == ISSUER:
        return "tokens of `.venv/bin/reservations token`, as in: token guest --guest-id UUID"
    return "tokens of AUTH_ISSUER"
