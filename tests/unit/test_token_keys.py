"""The issuer's keys: fetched, kept, rotated; and what of tokens is remembered."""

import asyncio
import json
from collections.abc import Sequence

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from reservations.http.authentication import BearerTokens
from reservations.http.keys import PAUSE_S, STALE_LIMIT_S, FetchedKeys, usable_keys
from reservations.http.problems import ProblemError
from reservations.models.errors import ErrorCode
from tests.tokens import AUDIENCE, ISSUER, Issuer, bearing, valid_claims

FIRST, SECOND = Issuer("first"), Issuer("second")
MAX_AGE_S = 300.0


class Publisher:
    """An issuer's key set that can be changed, and a clock that can be moved."""

    def __init__(self, *issuers: Issuer) -> None:
        self.issuers: Sequence[Issuer] = issuers
        self.is_away = False
        self.fetched = 0
        self.now_s = 1000.0
        self.keys = FetchedKeys(self._fetch, MAX_AGE_S, lambda: self.now_s)

    async def _fetch(self) -> str:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise OSError("away")
        return json.dumps({"keys": [issuer.jwk() for issuer in self.issuers]})


async def test_a_key_is_fetched_once_and_again_when_it_is_old() -> None:
    publisher = Publisher(FIRST)
    for _ in range(3):
        assert await publisher.keys.find("first")
    assert publisher.fetched == 1
    publisher.now_s += MAX_AGE_S + 1
    assert await publisher.keys.find("first")
    assert publisher.fetched == 2


async def test_many_who_wait_for_the_keys_have_them_fetched_once() -> None:
    publisher = Publisher(FIRST)
    found = await asyncio.gather(*(publisher.keys.find("first") for _ in range(50)))
    assert all(found)
    assert publisher.fetched == 1


async def test_a_new_key_is_fetched_at_once_and_one_that_was_withdrawn_is_gone() -> None:
    publisher = Publisher(FIRST)
    assert await publisher.keys.find("first")
    publisher.issuers = [SECOND]
    publisher.now_s += PAUSE_S
    assert await publisher.keys.find("second")
    assert await publisher.keys.find("first") is None


async def test_unknown_key_ids_do_not_have_the_issuer_asked_all_the_time() -> None:
    publisher = Publisher(FIRST)
    for number in range(100):
        assert await publisher.keys.find(f"forged {number}") is None
    assert publisher.fetched == 1


async def test_known_keys_hold_while_the_issuer_is_away_but_not_for_ever() -> None:
    publisher = Publisher(FIRST)
    assert await publisher.keys.find("first")
    publisher.is_away = True
    publisher.now_s += STALE_LIMIT_S - 1
    assert await publisher.keys.find("first")
    publisher.now_s += 2
    with pytest.raises(ProblemError) as refusal:
        await publisher.keys.find("first")
    assert refusal.value.rejected.code is ErrorCode.UPSTREAM_UNAVAILABLE
    publisher.is_away = False
    publisher.now_s += PAUSE_S
    assert await publisher.keys.find("first")


def test_only_public_keys_for_signatures_are_usable() -> None:
    usable = FIRST.jwk()
    others = [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "symmetric"},
        {**usable, "kid": "for encryption", "use": "enc"},
        {**usable, "kid": "another algorithm", "alg": "RS512"},
        {"kty": "unheard of", "kid": "unknown"},
        "no key at all",
        {name: value for name, value in usable.items() if name != "kid"},
    ]
    assert set(usable_keys(json.dumps({"keys": [*others, usable]}))) == {"first"}


@pytest.mark.parametrize("text", ["", "[]", "null", '{"keys": 1}', '{"keys": []}', "<html>", '{"keys": [1]}'])
def test_what_is_no_key_set_is_refused(text: str) -> None:
    with pytest.raises((ValueError, jwt.PyJWTError)):
        usable_keys(text)


class Counting(BearerTokens):
    """Counts how many tokens are really checked."""

    checked = 0

    async def _check(self, token: str) -> tuple[object, float]:  # type: ignore[override]
        self.checked += 1
        return await super()._check(token)


def request_with(token: str) -> web.Request:
    return make_mocked_request("GET", "/", headers=bearing(token))


async def test_a_token_is_checked_once_and_anew_when_the_keys_change() -> None:
    publisher = Publisher(FIRST)
    tokens = Counting(publisher.keys, issuer=ISSUER, audience=AUDIENCE, leeway_s=0)
    request = request_with(FIRST.token({}))
    await publisher.keys.refresh()
    assert {(await tokens.identify(request)).name for _ in range(5)} == {"staff:sam"}
    assert tokens.checked == 1
    publisher.issuers = [SECOND]
    publisher.now_s += PAUSE_S
    assert (await tokens.identify(request_with(SECOND.token({})))).name == "staff:sam"
    with pytest.raises(ProblemError):
        await tokens.identify(request)


async def test_a_remembered_token_is_forgotten_when_it_expires() -> None:
    publisher, now_s = Publisher(FIRST), [float(valid_claims()["iat"])]
    tokens = Counting(publisher.keys, issuer=ISSUER, audience=AUDIENCE, leeway_s=5, clock=lambda: now_s[0])
    await publisher.keys.refresh()
    request = request_with(FIRST.token({"exp": int(now_s[0]) + 100}))
    await tokens.identify(request)
    now_s[0] += 104.9
    await tokens.identify(request)
    assert tokens.checked == 1
    now_s[0] += 0.1
    await tokens.identify(request)
    assert tokens.checked == 2


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_authorization_header_is_answered_by_a_refusal(text: str) -> None:
    tokens = BearerTokens(Publisher(FIRST).keys, issuer=ISSUER, audience=AUDIENCE, leeway_s=0)
    for value in (text, f"Bearer {text}", f"Bearer a.{text}.c"):
        with pytest.raises(ProblemError) as refusal:
            asyncio.run(tokens.identify(make_mocked_request("GET", "/", headers={"Authorization": value})))
        assert refusal.value.rejected.code is ErrorCode.UNAUTHENTICATED
