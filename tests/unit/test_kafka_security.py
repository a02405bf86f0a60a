"""How brokers are reached is settled at the start: what is wrong is named with its cure, and no secret is shown."""

import ssl
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiokafka import client
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from reservations.agents.intake import make_app
from reservations.agents.security import OPEN
from reservations.agents.watching import Peeker
from reservations.app import dependencies, kafka, logins, topics
from reservations.app.dependencies import check_broker
from reservations.app.logins import LoginRefusedError, check_login
from reservations.app.settings import Settings, load_settings
from tests.apache_kafka.certificates import Authority

CANARY = "cAnArYpAsSwOrD"
LOGIN = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "worker", "KAFKA_SASL_PASSWORD": CANARY}


def because(error: Exception, cause: Exception) -> Exception:
    """Return an error as it is when another caused it."""
    error.__cause__ = cause
    return error


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an authority, certificates of worker and gateway, and files with passwords."""
    folder = tmp_path_factory.mktemp("pem")
    authority = Authority(folder)
    authority.issue("worker")
    authority.issue("gateway", key_password=CANARY)
    (folder / "password").write_text(f"{CANARY}\n")
    (folder / "empty").touch()
    return folder


def settings_of(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> Settings:
    """Load the settings from these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def complaints(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what is said of settings that are not usable, by variable; never a secret."""
    with pytest.raises(SystemExit) as ended:
        settings_of(monkeypatch, variables)
    assert CANARY not in str(ended.value)
    return dict(line.strip().split(": ", 1) for line in str(ended.value).splitlines()[1:])


def test_nothing_set_is_neither_encrypted_nor_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, {})
    assert settings.kafka_security() == OPEN
    assert settings.kafka_security_in_short() == "PLAINTEXT"


def test_a_login_has_the_strongest_mechanism_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, LOGIN)
    assert settings.kafka_security_in_short() == "SASL_SSL SCRAM-SHA-512"
    assert settings.kafka_security().options() | {"ssl_context": None} == {
        "security_protocol": "SASL_SSL",
        "ssl_context": None,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "worker",
        "sasl_plain_password": CANARY,
    }


def test_a_password_is_the_first_line_of_its_file(monkeypatch: pytest.MonkeyPatch, pem: Path) -> None:
    variables = {**LOGIN, "KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": str(pem / "password")}
    assert settings_of(monkeypatch, variables).kafka_security().password == CANARY


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, LOGIN)
    shown = [
        repr(settings),
        str(settings),
        repr(settings.kafka_security()),
        repr(settings.kafka_security().credentials()),
    ]
    assert not [text for text in shown if CANARY in text]


def test_a_login_without_user_and_password_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    told = complaints(monkeypatch, {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})
    assert set(told) == {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}
    assert "the name of the user" in told["KAFKA_SASL_USERNAME"]
    assert "KAFKA_SASL_PASSWORD_FILE" in told["KAFKA_SASL_PASSWORD"]


@pytest.mark.parametrize(
    ("variables", "name", "cure"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL", "'SASL_SSL'"),
        ({**LOGIN, "KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM", "'SCRAM-SHA-512'"),
        ({**LOGIN, "KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SASL_PASSWORD": ""}, "KAFKA_SASL_USERNAME", "SASL_SSL"),
        ({"KAFKA_SASL_PASSWORD": CANARY}, "KAFKA_SASL_PASSWORD", "SASL_PLAINTEXT or SASL_SSL"),
        ({**LOGIN, "KAFKA_SASL_PASSWORD_FILE": "{pem}/password"}, "KAFKA_SASL_PASSWORD", "unset it"),
        (
            {**LOGIN, "KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": "{pem}/none"},
            "KAFKA_SASL_PASSWORD_FILE",
            "No such file",
        ),
        (
            {**LOGIN, "KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": "{pem}/empty"},
            "KAFKA_SASL_PASSWORD_FILE",
            "write the password into it",
        ),
        ({**LOGIN, "KAFKA_SSL_CA_FILE": "{pem}/none"}, "KAFKA_SSL_CA_FILE", "No such file"),
        ({**LOGIN, "KAFKA_SSL_CA_FILE": "{pem}/password"}, "KAFKA_SSL_CA_FILE", "PEM"),
        ({"KAFKA_SSL_CA_FILE": "{pem}/ca.pem"}, "KAFKA_SSL_CA_FILE", "SSL or SASL_SSL"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTIFICATE_FILE": "{pem}/worker.pem"},
            "KAFKA_SSL_KEY_FILE",
            "KAFKA_SSL_CERTIFICATE_FILE needs it",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_FILE": "{pem}/worker.key"},
            "KAFKA_SSL_KEY_FILE",
            "KAFKA_SSL_CERTIFICATE_FILE is needed",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, pem: Path, variables: dict[str, str], name: str, cure: str
) -> None:
    told = complaints(monkeypatch, {key: value.replace("{pem}", str(pem)) for key, value in variables.items()})
    assert list(told) == [name]
    assert cure in told[name]


@pytest.mark.parametrize(("key", "password"), [("gateway", ""), ("worker", ""), ("gateway", "ca.pem")])
def test_a_key_that_cant_be_used_is_told(monkeypatch: pytest.MonkeyPatch, pem: Path, key: str, password: str) -> None:
    certificate = "gateway" if key == "worker" else key
    told = complaints(monkeypatch, certified(pem, certificate, key, password))
    assert list(told) == ["KAFKA_SSL_KEY_FILE"]
    assert "KAFKA_SSL_KEY_PASSWORD_FILE must hold its password" in told["KAFKA_SSL_KEY_FILE"]


@pytest.mark.parametrize(("name", "password"), [("worker", ""), ("gateway", "password")])
def test_a_certificate_with_its_key_is_used(
    monkeypatch: pytest.MonkeyPatch, pem: Path, name: str, password: str
) -> None:
    settings = settings_of(monkeypatch, certified(pem, name, name, password))
    assert settings.kafka_security().context
    assert settings.kafka_security_in_short() == "SSL"


def certified(pem: Path, certificate: str, key: str, password: str) -> dict[str, str]:
    """Return the settings of a client that shows a certificate."""
    return {
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CA_FILE": str(pem / "ca.pem"),
        "KAFKA_SSL_CERTIFICATE_FILE": str(pem / f"{certificate}.pem"),
        "KAFKA_SSL_KEY_FILE": str(pem / f"{key}.key"),
        **({"KAFKA_SSL_KEY_PASSWORD_FILE": str(pem / password)} if password else {}),
    }


@pytest.mark.parametrize(
    ("servers", "mechanism", "is_refused"),
    [
        ("localhost:9092,127.0.0.1:9093,[::1]:9094", "PLAIN", False),
        ("localhost:9092,kafka.example:9092", "PLAIN", True),
        ("192.0.2.7:9092", "PLAIN", True),
        ("kafka.example:9092", "SCRAM-SHA-256", False),
    ],
)
def test_a_password_is_never_sent_in_the_clear_to_another_machine(
    monkeypatch: pytest.MonkeyPatch, servers: str, mechanism: str, is_refused: bool
) -> None:
    protocol = {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": mechanism}
    variables = {**LOGIN, **protocol, "KAFKA_BOOTSTRAP_SERVERS": servers}
    if not is_refused:
        assert settings_of(monkeypatch, variables).kafka_security().mechanism == mechanism
        return
    told = complaints(monkeypatch, variables)
    assert list(told) == ["KAFKA_SASL_MECHANISM"]
    assert "in the clear" in told["KAFKA_SASL_MECHANISM"]
    assert "SASL_SSL" in told["KAFKA_SASL_MECHANISM"]


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
async def test_faust_connects_as_the_other_clients_do(
    monkeypatch: pytest.MonkeyPatch, protocol: str, mechanism: str
) -> None:
    login = {**LOGIN, "KAFKA_SASL_MECHANISM": mechanism} if "SASL" in protocol else {}
    security = settings_of(monkeypatch, {**login, "KAFKA_SECURITY_PROTOCOL": protocol}).kafka_security()
    app = make_app("group", bootstrap_servers="127.0.0.1:1", security=security)
    faust = credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context)
    assert without_nothing(faust) == without_nothing(security.options())
    assert app.transport.create_producer().credentials is app.conf.broker_credentials


def without_nothing(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that are set."""
    return {name: value for name, value in options.items() if value is not None}


async def test_every_client_of_the_service_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, {**LOGIN, "KAFKA_BOOTSTRAP_SERVERS": "localhost:1"})
    connected = []

    async def connect(*_: object, **options: object) -> None:
        connected.append(options)
        raise ConnectionRefusedError

    monkeypatch.setattr(client, "create_conn", connect)
    monkeypatch.setattr(logins, "create_conn", connect)
    for each in (kafka.producer(settings), kafka.results_consumer(settings), kafka.dead_letters_consumer(settings)):
        with pytest.raises(KafkaConnectionError):
            await each.start()
        await each.stop()
    with pytest.raises(KafkaConnectionError):
        await topics.missing_topics(settings)
    await Peeker(settings.kafka_bootstrap_servers, settings.kafka_security())({})
    expected = {name: value for name, value in settings.kafka_security().options().items() if name != "ssl_context"}
    assert [expected.items() <= options.items() for options in connected] == [True] * 6
    assert all(options["ssl_context"] for options in connected)


@pytest.mark.parametrize(
    ("error", "is_refused"),
    [
        (SaslAuthenticationFailed("no"), True),
        (UnsupportedSaslMechanismError("no"), True),
        (ssl.SSLCertVerificationError("no"), True),
        (because(KafkaConnectionError("closed"), ssl.SSLError(1, "alert")), True),
        (because(KafkaConnectionError("closed"), ConnectionResetError()), False),
        (ssl.SSLEOFError(8, "cut off"), False),
        (ConnectionRefusedError(), False),
        (TimeoutError(), False),
    ],
    ids=repr,
)
async def test_a_broker_that_refuses_is_told_from_one_that_is_away(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_refused: bool
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(logins, "create_conn", fail)
    settings = settings_of(monkeypatch, {**LOGIN, "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092"})
    expected: AbstractContextManager[object] = nullcontext()
    if is_refused:
        expected = pytest.raises(LoginRefusedError, match="KAFKA_SASL_PASSWORD_FILE")
    with expected:
        await check_login(settings)


@pytest.mark.parametrize("is_refused", [True, False])
async def test_readiness_says_that_a_login_is_refused_meanwhile(
    monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    async def knock(_: Settings) -> None:
        if is_refused:
            raise LoginRefusedError

    monkeypatch.setattr(dependencies, "check_login", knock)
    producer = Mock(**{"client.fetch_all_metadata.side_effect": KafkaConnectionError()})
    if is_refused:
        assert "restart the process" in str(await check_broker(producer, load_settings()))
        return
    with pytest.raises(KafkaConnectionError):
        await check_broker(producer, load_settings())
