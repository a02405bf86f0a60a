"""How callers are identified, by the settings."""

from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from reservations.app.dependencies import NotPreparedError
from reservations.app.settings import Settings
from reservations.app.settings.auth import Auth, is_loopback
from reservations.http.authentication import BearerTokens, Keys
from reservations.http.callers import Identify
from reservations.http.keys import Fetch, FetchedKeys, OneKey

FETCH_LIMIT_S = 5.0
MAX_KEY_SET_BYTES = 256 * 1024
MIN_RSA_BITS = 2048


async def identify(settings: Settings, stack: AsyncExitStack) -> Identify | None:
    """Return what identifies callers; None where anybody may do everything.

    Raises:
        NotPreparedError: callers can't be identified, and the address is not one that only this machine reaches.

    """
    if settings.auth is Auth.OFF:
        _refuse_open_door(settings)
        return None
    missing = settings.auth_is_missing()
    if missing:
        raise NotPreparedError(
            f"AUTH is required, but tokens can't be checked: set {' and '.join(missing)}. "
            "On a loopback address AUTH=off lets everybody do everything."
        )
    tokens = BearerTokens(
        await _keys(settings, stack),
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        leeway_s=settings.auth_leeway_s,
    )
    return tokens.identify


def _refuse_open_door(settings: Settings) -> None:
    host = settings.reservations_http_host
    if not is_loopback(host):
        raise NotPreparedError(
            f"AUTH=off would let everybody who reaches {host} do everything: set RESERVATIONS_HTTP_HOST=127.0.0.1, "
            f"or AUTH=required with {' and '.join(settings.auth_is_missing()) or 'what is set already'}."
        )
    structlog.get_logger().warning("open_to_everybody", cure="AUTH=required, AUTH_ISSUER and the issuer's keys")


async def _keys(settings: Settings, stack: AsyncExitStack) -> Keys:
    if settings.auth_public_key_file and not settings.auth_jwks_url:
        return OneKey(settings.auth_key_id, public_key(settings.auth_public_key_file))
    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_LIMIT_S)))
    keys = FetchedKeys(fetching(session, settings.auth_jwks_url), settings.auth_jwks_max_age_s)
    await keys.refresh()
    return keys


def public_key(path: Path) -> jwt.PyJWK:
    """Return the public key in a PEM file.

    Raises:
        NotPreparedError: there is none that tokens may be signed with.

    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise NotPreparedError(f"AUTH_PUBLIC_KEY_FILE: {path} holds no public key in PEM ({error}).") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return _jwk("RS256", key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return _jwk("ES256", key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _jwk("EdDSA", key)
    raise NotPreparedError(f"AUTH_PUBLIC_KEY_FILE: {path} must hold RSA from {MIN_RSA_BITS} bits, P-256, or Ed25519.")


def _jwk(algorithm: str, key: object) -> jwt.PyJWK:
    described = orjson.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key))
    return jwt.PyJWK({**described, "alg": algorithm})


async def _whole(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_KEY_SET_BYTES:
            raise ValueError("the issuer's key set is too large")
    return bytes(body)


def fetching(session: aiohttp.ClientSession, url: str) -> Fetch:
    """Return what fetches the issuer's key set."""

    async def fetch() -> str:
        try:
            async with session.get(url, allow_redirects=False) as response:
                body = await _whole(response.content)
        except aiohttp.ClientError as error:
            raise OSError(type(error).__name__) from error
        if response.status != 200:
            raise ValueError(f"the issuer answers {response.status}")
        return body.decode()

    return fetch
