"""An issuer of tokens for tests, and those that only pretend to be it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ISSUER = "https://issuer.example"
AUDIENCE = "svc-reservations"
Claims = Mapping[str, Any]


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs tokens with an RSA key."""

    key_id: str = "first"
    key: rsa.RSAPrivateKey = field(default_factory=_new_key)

    @property
    def public_pem(self) -> bytes:
        """The public key, as a file holds it."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def private_pem(self) -> bytes:
        """The private key, as a file holds it."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def jwk(self) -> dict[str, Any]:
        """Return the public key as a member of a key set."""
        described: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**described, "kid": self.key_id, "alg": "RS256", "use": "sig"}

    def token(
        self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None, algorithm: str = "RS256"
    ) -> str:
        """Return a token; claims and header members that are None are left out."""
        headers = {"kid": self.key_id, **(header or {})}
        return jwt.encode(_without_none(valid_claims() | dict(claims)), self.key, algorithm, headers)

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the settings of a gateway that believes this issuer."""
        file = folder / "issuer.pem"
        file.write_bytes(self.public_pem)
        return {
            "AUTH": "required",
            "AUTH_ISSUER": ISSUER,
            "AUTH_PUBLIC_KEY_FILE": str(file),
            "AUTH_KEY_ID": self.key_id,
            "AUTH_LEEWAY_S": "5",
        }


def valid_claims() -> dict[str, Any]:
    """Return what every token says, here of a member of the staff."""
    now = int(time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "sam", "iat": now, "exp": now + 600, "role": "staff"}


def a_guest(guest_id: UUID | None = None) -> dict[str, str]:
    """Return the claims of a guest."""
    return {"role": "guest", "guest_id": str(guest_id or uuid4())}


def a_partner(partner_id: str = "alpine-tours") -> dict[str, str]:
    """Return the claims of a partner."""
    return {"role": "partner", "partner_id": partner_id}


def a_service(*scopes: str) -> dict[str, str]:
    """Return the claims of another service."""
    return {"role": "service", "sub": "svc-check-in", "scope": " ".join(f"reservations:{scope}" for scope in scopes)}


def bearing(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def _without_none(claims: Claims) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}
