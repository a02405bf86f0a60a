"""Bearer tokens: signed JWTs (RFC 7519), checked as RFC 8725 asks, that say who calls."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from time import time
from typing import Any, NoReturn, Protocol

import jwt
import structlog
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from reservations.http.problems import ProblemError, problem
from reservations.models.access import Caller, Claims
from reservations.models.errors import ErrorCode

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
#: A token that brings or points to a key wants to choose what it is checked against.
REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc"})
REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]
MAX_TOKEN_BYTES = 8 * 1024
MAX_REMEMBERED = 10_000

_BEARER = re.compile(r"Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*)", re.IGNORECASE)
_CLAIMS: TypeAdapter[Claims] = TypeAdapter(Claims)


class Keys(Protocol):
    """The issuer's public keys, by their ids; `version` changes whenever they do."""

    version: int

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key with this id, None if the issuer has none; raise ProblemError while that can't be known."""


class BearerTokens:
    """Finds out who calls by the token of a request.

    A token that was good is remembered until it expires or the issuer's keys change: a signature costs more to check
    than a reservation to read.
    """

    def __init__(
        self, keys: Keys, *, issuer: str, audience: str, leeway_s: float, clock: Callable[[], float] = time
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s
        self._clock = clock
        self._version = keys.version
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    async def identify(self, request: web.Request) -> Caller:
        """Return who sent a request.

        Raises:
            ProblemError: there is no token, or none that can be believed (401); or no key to check it with (503).

        """
        token = _token_of(request)
        digest = sha256(token.encode()).digest()
        return self._remembered(digest) or self._remember(digest, *await self._check(token))

    def _remembered(self, digest: bytes) -> Caller | None:
        if self._version != self._keys.version:
            self._known.clear()
            self._version = self._keys.version
        caller, until = self._known.get(digest, (None, 0.0))
        return caller if self._clock() < until else None

    def _remember(self, digest: bytes, caller: Caller, until: float) -> Caller:
        self._known[digest] = (caller, until)
        self._known.move_to_end(digest)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return caller

    async def _check(self, token: str) -> tuple[Caller, float]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key_of(header)
            claims = self._claims_of(token, key)
            caller = _CLAIMS.validate_python(claims).caller()
        except jwt.ExpiredSignatureError:
            _refuse("expired", "The token has expired; get a new one.")
        except ValidationError as error:
            _refuse("claims", f"The token's claims don't say who calls: {_claims_at_fault(error)}.")
        except jwt.PyJWTError as error:
            _refuse(type(error).__name__)
        return caller, float(claims["exp"]) + self._leeway_s

    async def _key_of(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        key_id = header.get("kid")
        if not isinstance(key_id, str) or REFUSED_HEADERS & header.keys() or not _is_access_token(header):
            _refuse("header")
        key = await self._keys.find(key_id)
        if key is None:
            _refuse("key")
        return key

    def _claims_of(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],  # the key says how it is used, not the token
            issuer=self._issuer,
            audience=self._audience,
            leeway=self._leeway_s,
            options={"require": REQUIRED_CLAIMS, "enforce_minimum_key_length": True},
        )


def _token_of(request: web.Request) -> str:
    given = request.headers.getall("Authorization", [])
    if not given:
        raise _unauthenticated("Send a token: Authorization: Bearer …")
    bearer = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    if bearer is None or len(bearer[1]) > MAX_TOKEN_BYTES:
        _refuse("form", "The Authorization header does not hold one bearer token.")
    return bearer[1]


def _is_access_token(header: Mapping[str, Any]) -> bool:
    return str(header.get("typ", "JWT")).lower() in TYPES


def _claims_at_fault(error: ValidationError) -> str:
    names = {str(each["loc"][-1]) if each["loc"] else "role" for each in error.errors(include_input=False)}
    return ", ".join(sorted(names))


def _refuse(why: str, message: str = "The token is not valid here.") -> NoReturn:
    """Refuse a token; what exactly is wrong with a forged one is for the log."""
    structlog.get_logger().info("token_refused", why=why)
    raise _unauthenticated(message, 'Bearer error="invalid_token"') from None


def _unauthenticated(message: str, challenge: str = "Bearer") -> ProblemError:
    refusal = problem(ErrorCode.UNAUTHENTICATED, message)
    refusal.headers = {"WWW-Authenticate": challenge}
    return refusal
