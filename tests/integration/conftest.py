"""The wheel and an installation of it, made once for a run, or for each worker of it that needs them."""

from pathlib import Path

import pytest

from tests.installation import a_wheel, an_installation


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the project's wheel."""
    return a_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Give an environment with nothing but the wheel and what it runs with."""
    return an_installation(tmp_path_factory.mktemp("installation") / "venv", wheel)  # readable for other users
