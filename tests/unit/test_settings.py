"""Settings are read from the environment, and what is wrong with them is said all at once, by name."""

import pytest

from reservations.app.settings import load_settings

WRONG = {
    "DATABASE_URL": ("mysql://me:secret@localhost/x", "must start with postgresql://"),
    "KAFKA_BOOTSTRAP_SERVERS": ("localhost", "is not host:port"),
    "RESERVATIONS_HTTP_PORT": ("70000", "less than or equal to 65535"),
    "TRIP_CATALOG_URL": ("catalog.example", "must start with https://"),
    "DEPOSIT_RATIO": ("1.5", "less than or equal to 1"),
    "MAX_BATCH_SIZE": ("0", "greater than 0"),
    "WATCHDOG_S": ("20", "more than twice STATEMENT_TIMEOUT_S"),
    "LOG_LEVEL": ("loud", "pattern"),
    "INBOX_RETENTION_DAYS": ("30", "so more than 30"),
}


def test_every_wrong_setting_is_named_with_what_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (value, _) in WRONG.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_settings()
    lines = str(ended.value).splitlines()[1:]
    for line, (name, (value, message)) in zip(sorted(lines), sorted(WRONG.items()), strict=True):
        assert line.startswith(f"  {name}: ")
        assert message in line
        assert (repr(value) in line) == (name != "DATABASE_URL")
    assert "secret" not in str(ended.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "one:9092,two:9092")
    monkeypatch.setenv("GUEST_PROFILES_URL", "https://profiles.example/")
    monkeypatch.setenv("NO_SHOW_HOURS", "1.5")
    settings = load_settings()
    assert settings.kafka_bootstrap_servers == "one:9092,two:9092"
    assert settings.guest_profiles_url == "https://profiles.example"
    assert settings.eligibility() == "asks guest profiles"
    assert settings.deadlines().no_show is not None


def test_the_pool_is_as_documented() -> None:
    limits = load_settings().pool_limits("worker")
    assert (limits.min_size, limits.max_size, limits.idle_timeout_s) == (10, 40, 600)


def test_the_inbox_remembers_for_as_long_as_a_dead_letter_may_be_redriven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_RETENTION_DAYS", "60")
    with pytest.raises(SystemExit, match="must not be less than DEAD_LETTER_RETENTION_DAYS, so at least 90"):
        load_settings()
    monkeypatch.setenv("DEAD_LETTER_RETENTION_DAYS", "60")
    assert load_settings().deadlines().inbox.days == 60
