"""Who is let in: nobody without a token that the issuer signed for this service, and that holds now."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.conditions import eventually
from tests.servers import Servers
from tests.service import Service, run
from tests.tokens import Issuer, bearing, valid_claims

UNKNOWN = "/reservations/01900000-0000-7000-8000-000000000000"


def part(value: Mapping[str, Any] | bytes) -> str:
    """Return a part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def assembled(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"") -> str:
    """Return a token put together by hand."""
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def signed_by_public_key(issuer: Issuer) -> str:
    """Return a token signed with HS256, the public key being the secret: libraries that trust `alg` let it in."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.key_id})}.{part(valid_claims())}"
    digest = hmac.new(issuer.public_pem, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{part(digest)}"


def changed_after_signing(issuer: Issuer) -> str:
    """Return a token of which somebody replaced the claims."""
    head, _, signature = issuer.token({"role": "guest", "guest_id": "0b8f4a52-6f0e-4c0e-9d5e-2f6f0c1b7a11"}).split(".")
    return f"{head}.{part(valid_claims())}.{signature}"


def with_header(**members: Any) -> Callable[[Issuer], str]:
    """Return what makes tokens with members of the header changed, and truly signed."""
    return lambda issuer: issuer.token({}, members)


def with_claims(**claims: Any) -> Callable[[Issuer], str]:
    """Return what makes tokens with claims changed, and truly signed."""
    return lambda issuer: issuer.token(claims)


def bringing_its_key(issuer: Issuer) -> str:
    """Return a token that carries the key it is signed with."""
    forger = Issuer(issuer.key_id)
    return forger.token({}, {"jwk": forger.jwk()})


FORGED: Mapping[str, Callable[[Issuer], str]] = {
    "not signed, alg none": lambda i: assembled({"alg": "none", "typ": "JWT", "kid": i.key_id}, valid_claims()),
    "not signed, alg NONE": lambda i: assembled({"alg": "NONE", "typ": "JWT", "kid": i.key_id}, valid_claims()),
    "not signed, alg RS256": lambda i: assembled({"alg": "RS256", "kid": i.key_id}, valid_claims()),
    "no alg": lambda i: assembled({"kid": i.key_id}, valid_claims(), b"x"),
    "HS256 with the public key": signed_by_public_key,
    "HS256 with an empty secret": lambda i: jwt.encode(valid_claims(), "k" * 32, "HS256", {"kid": i.key_id}),
    "another RSA key": lambda i: Issuer(i.key_id).token({}),
    "another algorithm": lambda i: i.token({}, algorithm="RS512"),
    "the same key for PS256": lambda i: i.token({}, algorithm="PS256"),
    "an EC key": lambda i: jwt.encode(
        valid_claims(), ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": i.key_id}
    ),
    "an Ed25519 key": lambda i: jwt.encode(
        valid_claims(), ed25519.Ed25519PrivateKey.generate(), "EdDSA", {"kid": i.key_id}
    ),
    "claims changed after signing": changed_after_signing,
    "its own key in jwk": bringing_its_key,
    "jku": with_header(jku="https://forger.example/keys"),
    "jwk": with_header(jwk={"kty": "oct", "k": "c2VjcmV0"}),
    "x5u": with_header(x5u="https://forger.example/chain"),
    "x5c": with_header(x5c=["MIIB"]),
    "crit": with_header(crit=["exp"]),
    "another kid": with_header(kid="second"),
    "a path as kid": with_header(kid="../../../dev/null"),
    "SQL as kid": with_header(kid="' OR 1=1 --"),
    "a type that is no access token": with_header(typ="secevent+jwt"),
    "expired": with_claims(exp=int(time()) - 60),
    "no exp": with_claims(exp=None),
    "exp without end": with_claims(exp=float("inf")),
    "exp that is no number": with_claims(exp=[1]),
    "not yet valid": with_claims(nbf=int(time()) + 600),
    "issued in the future": with_claims(iat=int(time()) + 600),
    "no iat": with_claims(iat=None),
    "another issuer": with_claims(iss="https://forger.example"),
    "no issuer": with_claims(iss=None),
    "another audience": with_claims(aud="svc-payments"),
    "no audience": with_claims(aud=None),
    "no subject": with_claims(sub=None),
    "an empty subject": with_claims(sub=""),
    "a subject with a line break": with_claims(sub="sam\nstaff:eve"),
    "no role": with_claims(role=None),
    "an unknown role": with_claims(role="admin"),
    "roles in a list": with_claims(role=["staff"]),
    "a guest without guest_id": with_claims(role="guest"),
    "a guest whose guest_id is none": with_claims(role="guest", guest_id="*"),
    "a partner without partner_id": with_claims(role="partner"),
    "a partner whose partner_id is SQL": with_claims(role="partner", partner_id="x' OR 'x'='x"),
    "claims that are a list": lambda i: jwt.api_jws.encode(b"[]", i.key, "RS256", {"kid": i.key_id}),
    "claims that are no JSON": lambda i: jwt.api_jws.encode(b"{", i.key, "RS256", {"kid": i.key_id}),
    "a header as deep as it is long": lambda i: f"{part(b'[' * 5000)}.{part(valid_claims())}.x",
    "a header that is a list": lambda i: f"{part(b'[]')}.{part(valid_claims())}.x",
    "an encrypted token": lambda i: "a.b.c.d.e",
    "longer than tokens are": lambda i: i.token({"padding": "x" * 10_000}),
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused(guarded: Service, issuer: Issuer, name: str) -> None:
    status, answer, headers = await guarded.ask("GET", UNKNOWN, headers=bearing(FORGED[name](issuer)))
    assert (status, answer["error"]) == (401, "UNAUTHENTICATED")
    assert headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_a_true_token_is_believed(guarded: Service, issuer: Issuer) -> None:
    for claims in ({}, {"aud": ["svc-payments", "svc-reservations"]}, {"nbf": int(time()) - 10}):
        status, answer, _ = await guarded.ask("GET", UNKNOWN, headers=bearing(issuer.token(claims)))
        assert (status, answer["error"]) == (404, "RESERVATION_NOT_FOUND")


async def test_a_token_is_refused_from_the_moment_it_expires_also_one_that_was_believed(
    guarded: Service, issuer: Issuer
) -> None:
    token = bearing(issuer.token({"exp": int(time()) - 3}))  # 5 s of leeway: for two more seconds
    assert (await guarded.ask("GET", UNKNOWN, headers=token))[0] == 404

    async def is_refused() -> bool:
        status, answer, _ = await guarded.ask("GET", UNKNOWN, headers=token)
        return status == 401 and "expired" in answer["message"]

    await eventually(is_refused, limit_s=10)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Basic c2FtOnNlY3JldA=="}, {"Authorization": "Bearer"}],
    ids=["none", "empty", "basic", "no token"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/reservations"),
        ("POST", "/reservations"),
        ("GET", UNKNOWN),
        ("PATCH", UNKNOWN),
        ("DELETE", UNKNOWN),
        ("GET", f"{UNKNOWN}/participants"),
        ("POST", f"{UNKNOWN}/participants"),
        ("PUT", f"{UNKNOWN}/status"),
        ("GET", "/commands/01900000-0000-7000-8000-000000000000"),
    ],
)
async def test_every_operation_asks_for_a_token(
    guarded: Service, method: str, path: str, headers: dict[str, str]
) -> None:
    status, answer, told = await guarded.ask(method, path, headers=headers)
    assert (status, answer["error"]) == (401, "UNAUTHENTICATED")
    assert told["WWW-Authenticate"].startswith("Bearer")
    assert {"error", "message", "timestamp", "trace_id"} <= answer.keys()


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/openapi.yaml", "/health/live", "/metrics"])
async def test_documents_health_and_metrics_ask_for_none(guarded: Service, path: str) -> None:
    assert (await guarded.ask("GET", path))[0] == 200


async def test_two_tokens_are_one_too_many(guarded: Service, issuer: Issuer) -> None:
    token = f"Bearer {issuer.token({})}"
    headers = [("Authorization", token), ("Authorization", token)]
    assert (await guarded.ask("GET", UNKNOWN, headers=headers))[0] == 401


async def test_no_token_stands_in_the_log(guarded: Service, issuer: Issuer) -> None:
    token = issuer.token({})
    status, answer, _ = await guarded.ask("GET", UNKNOWN, headers=bearing(token))
    assert status == 404
    (gateway,) = (process for process in guarded.processes if process.name == "gateway")

    async def is_logged() -> bool:
        return answer["trace_id"] in gateway.log.read_text()

    await eventually(is_logged)
    log = gateway.log.read_text()
    assert not any(piece in log for piece in token.split("."))


async def test_a_gateway_that_cannot_check_tokens_does_not_start(servers: Servers, tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
    }
    for changed, said in (
        ({}, "AUTH_ISSUER and AUTH_JWKS_URL, or AUTH_PUBLIC_KEY_FILE"),
        ({"AUTH_ISSUER": "x", "AUTH_PUBLIC_KEY_FILE": "/nowhere.pem", "AUTH_KEY_ID": "x"}, "/nowhere.pem"),
        ({"AUTH": "off", "RESERVATIONS_HTTP_HOST": "0.0.0.0"}, "everybody who reaches 0.0.0.0"),  # noqa: S104
        ({"AUTH_JWKS_URL": "http://issuer.example/keys"}, "AUTH_JWKS_URL: must start with https://"),
    ):
        code, _, complaints = await run({**settings, **changed}, "gateway")
        assert code == 1
        assert said in complaints


async def test_a_caller_that_asks_too_often_waits_and_others_do_not(
    own_service: Service, issuer: Issuer, tmp_path: Path
) -> None:
    limits = {"RATE_LIMIT_PER_S": "0.1", "RATE_BURST": "3"}
    own_service.environment = {**own_service.environment, **issuer.environment(tmp_path), **limits}
    await own_service.start("gateway")
    sam, eve = (bearing(issuer.token({"sub": name})) for name in ("sam", "eve"))
    for headers, expected in ((sam, [404, 404, 404, 429]), (eve, [404]), ({}, [401, 401, 401, 429]), (eve, [404])):
        answers = [await own_service.ask("GET", UNKNOWN, headers=headers) for _ in expected]
        assert [status for status, _, _ in answers] == expected
        status, answer, told = answers[-1]
        assert status != 429 or (answer["error"], int(told["Retry-After"]) > 0) == ("TOO_MANY_REQUESTS", True)
