"""What the Dockerfile says is as careful as the rules for images ask."""

import re
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SECRET = re.compile(r"secret|token|passw|credential|_key\b|\bkey_|database_url", re.IGNORECASE)


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, with what each says."""
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    joined = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def saying(word: str) -> list[str]:
    """Return what all instructions of a kind say."""
    return [rest for name, rest in instructions() if name == word]


def final_stage() -> list[tuple[str, str]]:
    """Return the instructions of the stage that runs."""
    found = instructions()
    last = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


def test_it_runs_as_a_user_with_a_number_that_is_not_root() -> None:
    users = [rest for word, rest in final_stage() if word == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1])


def test_its_base_is_named_by_version() -> None:
    (base,) = (rest for rest in saying("ARG") if rest.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-\w+", base)
    assert "BUILDER=${BASE}" in saying("ARG")
    assert [rest.split()[0] for rest in saying("FROM")] == ["${BUILDER}", "${BASE}"]


def test_it_adds_nothing_from_elsewhere() -> None:
    assert not saying("ADD")
    assert not re.search(r"https?://|\b(curl|wget|git)\b", " ".join(rest for _, rest in instructions()))


def test_it_takes_no_secrets() -> None:
    named = [part for word in ("ARG", "ENV") for rest in saying(word) for part in shlex.split(rest)]
    assert named
    assert not [part for part in named if SECRET.search(part.partition("=")[0])]
    assert not [rest for rest in saying("COPY") if ".env" in rest or "*" in rest]


def test_everything_that_is_fetched_has_a_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&]*", " && ".join(saying("RUN")))
    assert len(installs) == 4
    for options in installs:
        assert "--require-hashes" in options or "--no-deps" in options


def test_the_stage_that_runs_runs_nothing_while_it_is_built() -> None:
    assert not [rest for word, rest in final_stage() if word == "RUN"]


def test_it_can_be_asked_told_to_end_and_needs_no_shell() -> None:
    said = dict(final_stage())
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert said["ENTRYPOINT"] == '["reservations"]'
    assert said["HEALTHCHECK"].endswith('CMD ["reservations", "health"]')


def test_only_what_it_is_built_from_is_sent_to_the_builder() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = {name for rest in saying("COPY") if "--from" not in rest for name in rest.split()[:-1]}
    assert "*" in ignored
    assert sent == copied
