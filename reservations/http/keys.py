"""The issuer's public keys: one that was given, or a set that is fetched and rotates (RFC 7517)."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

import jwt
import structlog

from reservations.http.problems import problem
from reservations.models.errors import ErrorCode

#: Signatures that only the issuer can make; nothing symmetric, whose key would have to be here.
ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
#: The issuer may be away for so long before its keys are no longer believed.
STALE_LIMIT_S = 24 * 3600.0
#: However many unknown key ids are tried, the issuer is not asked more often.
PAUSE_S = 10.0
MAX_KEYS = 100

#: Fetches the issuer's key set (JSON); raises OSError, TimeoutError or ValueError.
Fetch = Callable[[], Awaitable[str]]


class OneKey:
    """The one key that the issuer signs with."""

    def __init__(self, key_id: str, key: jwt.PyJWK) -> None:
        self.version = 1
        self._key_id = key_id
        self._key = key

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key if it has this id."""
        return self._key if key_id == self._key_id else None


class FetchedKeys:
    """The key set that an issuer publishes, fetched again when it grows old or lacks a key.

    While the issuer is away the keys that are known go on to hold for a day.
    """

    def __init__(self, fetch: Fetch, max_age_s: float, clock: Callable[[], float] = monotonic) -> None:
        self.version = 0
        self._fetch = fetch
        self._max_age_s = max_age_s
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._text = ""
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key with this id, None if the issuer has none.

        Raises:
            ProblemError: the issuer can't be asked, and has not been for a day (503).

        """
        if key_id not in self._keys or self._age_s() > self._max_age_s:
            await self.refresh()
        if self._age_s() > STALE_LIMIT_S:
            raise problem(ErrorCode.UPSTREAM_UNAVAILABLE, "Tokens can't be checked now; try again.")
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Fetch the keys, unless that was tried a moment ago."""
        async with self._fetching:
            if self._clock() - self._tried_at < PAUSE_S:
                return
            self._tried_at = self._clock()
            try:
                text = await self._fetch()
                keys = usable_keys(text)
            except (OSError, TimeoutError, ValueError, jwt.PyJWTError) as error:
                structlog.get_logger().warning("keys_not_fetched", error=type(error).__name__)
                return
            self._fetched_at = self._clock()
            if text != self._text:
                self.version += 1
                structlog.get_logger().info("keys_changed", key_ids=sorted(keys))
            self._keys, self._text = keys, text

    def _age_s(self) -> float:
        return self._clock() - self._fetched_at


def usable_keys(text: str) -> dict[str, jwt.PyJWK]:
    """Return the keys of a set that signatures can be checked with: public ones with an id, of a known algorithm.

    Raises:
        ValueError, jwt.PyJWTError: it is no key set.

    """
    found = json.loads(text)
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("no key set: an object with the member `keys` is needed")  # noqa: TRY004  # what was sent is at fault
    return {
        key.key_id: key
        for key in jwt.PyJWKSet(found["keys"][:MAX_KEYS]).keys
        if key.key_id and key.algorithm_name in ALGORITHMS and key.public_key_use in {None, "sig"}
    }
