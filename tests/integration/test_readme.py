"""The first booking of the README and the tutorial, run word for word against what `make run` starts."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack_run import REPOSITORY
from tests.whole_stack import environment, running_stack

WALK_LIMIT_S = 120
SHOWN_ADDRESS = "127.0.0.1:8080"
#: Printed between the outputs of two blocks.
END_OF_BLOCK = "-- end of block --"
#: What is written for what differs from run to run: anything within one line.
DIFFERS = "…"
STEP = re.compile(r"```bash\n(?P<script>.*?)```\n(?:\n```(?:json|text)\n(?P<printed>.*?)```)?", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A block of a walk, and what the document says that it prints."""

    script: str
    printed: str

    def prints(self, output: str) -> bool:
        """Tell whether an output is what the document says."""
        pattern = "[^\n]*?".join(map(re.escape, self.printed.split(DIFFERS)))
        return re.fullmatch(pattern, output) is not None


def first_booking() -> str:
    """Return the part of the README that is run."""
    section = re.search(r"^## First booking$(.*?)^## ", (REPOSITORY / "README.md").read_text("utf-8"), re.M | re.S)
    assert section, "the README has no first booking"
    return section[1]


def tutorial() -> str:
    """Return the tutorial, all of which is run."""
    return (REPOSITORY / "docs" / "tutorial.md").read_text("utf-8")


def steps(text: str) -> list[Step]:
    """Return the blocks of a walk in their order."""
    found = [Step(match["script"], match["printed"] or "") for match in STEP.finditer(text)]
    assert found
    assert len(found) == text.count("```bash"), "a block was not understood"
    return found


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    """Give a folder with the project's virtual environment, and a service that was started in it."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on PATH: the walk-through uses it")
    folder = Path(tempfile.mkdtemp(prefix="readme-", dir="/tmp"))  # a place that the database's user can enter
    folder.chmod(0o755)
    (folder / ".venv").symlink_to(sys.prefix)
    try:
        with running_stack(folder) as printed:
            # The address that is shown leads to the port that the service was given here.
            port = re.findall(r"REST +http://127\.0\.0\.1:(\d+)/", printed)[0]
            (folder / ".curlrc").write_text(f"connect-to = {SHOWN_ADDRESS}:127.0.0.1:{port}\nnoproxy = *\n")
            yield folder
    finally:
        shutil.rmtree(folder)


def outputs_of(walk: list[Step], folder: Path) -> list[str]:
    """Run the blocks one after the other in one bash; return what each printed, also on standard error."""
    ran = subprocess.run(
        ["bash"],
        input="".join(f"{step.script}\necho '{END_OF_BLOCK}'\n" for step in walk),
        env=environment() | {"CURL_HOME": str(folder)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=WALK_LIMIT_S,
        text=True,
        check=True,
    )
    return ran.stdout.split(f"{END_OF_BLOCK}\n")[:-1]


@pytest.mark.parametrize("text", [first_booking, tutorial], ids=lambda text: text.__name__)
def test_a_walk_prints_what_is_said(text: Callable[[], str], project: Path) -> None:
    walk = steps(text())
    for step, output in zip(walk, outputs_of(walk, project), strict=True):
        assert step.prints(output), f"{step.script}\nprinted\n{output}\ninstead of\n{step.printed}"
