"""Where a worker's time goes at full speed: `python -m tests.bench.flame [--plot NAME]`, looked at with py-spy.

A worker is started on a full topic; once it is at work it is looked at, and counted is what holds the interpreter then.
Printed is, as a line of JSON, the processor time of the worker and of PostgreSQL for each command, and how the worker's
is shared out between stages.
"""

import asyncio
import json
import re
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.bench.arena import Arena, an_arena
from tests.bench.contestants import CONTESTANTS, Contestant
from tests.bench.figures import cpu_s
from tests.bench.ground import APACHE, EMBEDDED, Ground, a_ground
from tests.bench.workload import drain
from tests.conditions import eventually

WARM_COMMANDS = 2_000
SAMPLES_PER_S = 400
#: The first of these that a stack has, from the top, tells the stage that it is in.
STAGES: Mapping[str, re.Pattern[str]] = {
    "decode": re.compile(r"^decode_(command|payment) "),
    "decide": re.compile(r"^Worksheet\."),
    "SQL client": re.compile(r"\(asyncpg/|\(reservations/tables/"),
    "engine": re.compile(r"^Engine\."),
    "publish": re.compile(r"^(CommandAgent\._publish|Lane\._finish|Publisher\.) |\(aiokafka/producer/"),
    "intake": re.compile(r"\((faust|mode|aiokafka|reservations/agents/(transport|intake))"),
}
OTHER = "other"
SMALLEST_SHARE = 0.004
LOOP = re.compile(r"(Runner\.run|BaseEventLoop\._run_once|Handle\._run) ")
FRAME = re.compile(r"^(?P<name>.*?) \((?P<file>[^:()]*)(?::\d+)?\)$")
COLOURS = {
    "decode": "#8dd3c7",
    "decide": "#fdb462",
    "SQL client": "#80b1d3",
    "engine": "#bebada",
    "publish": "#b3de69",
    "intake": "#fb8072",
    OTHER: "#ffffff",
}

Stack = tuple[str, ...]


def stacks_of(text: str) -> "Counter[Stack]":
    """Return how often each stack was seen, from py-spy's raw format; line numbers are left out."""
    seen: Counter[Stack] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        seen[tuple(_without_line(frame) for frame in stack.split(";"))] += int(count)
    return seen


def _without_line(frame: str) -> str:
    found = FRAME.match(frame)
    return f"{found['name']} ({found['file']})" if found else frame


def stage_of(stack: Stack) -> str:
    """Return the stage that a stack is in: what its innermost telling frame says."""
    for frame in reversed(stack):
        for stage, pattern in STAGES.items():
            if pattern.search(frame):
                return stage
    return OTHER


def shares(seen: "Counter[Stack]") -> dict[str, float]:
    """Return each stage's share of the time."""
    stages: Counter[str] = Counter()
    for stack, count in seen.items():
        stages[stage_of(stack)] += count
    return {stage: count / seen.total() for stage, count in stages.most_common()}


@dataclass
class Flame:
    """A frame with what it called, each as wide as it was seen."""

    name: str
    seen: int = 0
    stage: str = OTHER
    calls: "dict[str, Flame]" = field(default_factory=dict)


def flame_of(seen: "Counter[Stack]") -> Flame:
    """Return the stacks as a tree."""
    root = Flame("worker", seen.total())
    for stack, count in seen.items():
        at = root
        for place in range(_first_of_interest(stack), len(stack)):
            at = at.calls.setdefault(stack[place], Flame(stack[place], stage=stage_of(stack[: place + 1])))
            at.seen += count
    return root


def _first_of_interest(stack: Stack) -> int:
    """Return how many frames only say how a thread and its event loop were started."""
    return max((place + 1 for place, frame in enumerate(stack) if LOOP.match(frame)), default=0)


def draw(root: Flame, path: Path, title: str) -> None:
    """Draw the tree as an icicle, as SVG and PNG beside each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    axes = figure.add_subplot()
    deepest = max(_draw_calls(axes, root, 0.0, 0, root.seen))
    axes.set(xlim=(0, 1), ylim=(deepest + 1, 0), title=title)
    axes.axis("off")
    handles = [axes.barh([0], [0], color=colour, edgecolor="#666666", label=stage) for stage, colour in COLOURS.items()]
    axes.legend(handles=handles, loc="lower right")
    for kind in ("svg", "png"):
        figure.savefig(path.with_suffix(f".{kind}"), dpi=90)


def _draw_calls(axes: Any, of: Flame, left: float, depth: int, total: int) -> Iterable[int]:
    yield depth
    for call in sorted(of.calls.values(), key=lambda each: -each.seen):
        width = call.seen / total
        if width >= SMALLEST_SHARE:
            axes.barh(
                [depth + 0.5], [width], left=left, height=1, color=COLOURS[call.stage], edgecolor="#666666", lw=0.3
            )
            axes.text(left + width / 2, depth + 0.5, _label(call.name, width), ha="center", va="center", fontsize=6)
            yield from _draw_calls(axes, call, left, depth + 1, total)
        left += width


def _label(frame: str, width: float) -> str:
    room = int(width * 230)
    name = frame.partition(" (")[0]
    return name if len(name) <= room else name[: max(0, room - 1)] + "…" if room > 3 else ""


async def look(ground: Ground, asked: Namespace) -> tuple[dict[str, Any], "Counter[Stack]"]:
    """Let one worker drain a topic, sample it, and return the figures and the stacks."""
    workload = drain(asked.commands, asked.seed)
    contestant = CONTESTANTS["ours"]
    assert isinstance(contestant, Contestant)
    async with an_arena(ground) as arena:
        await arena.fill(workload)
        arena.launch(contestant.arguments, contestant.python(arena.folder))
        worker = arena.processes[0].pid
        await _handled(arena, WARM_COMMANDS)
        before = await _handled(arena, WARM_COMMANDS), cpu_s(worker), _server_cpu_s(arena)
        seen = await _sample(worker, asked.seconds, arena.folder / "stacks")
        after = await _handled(arena, WARM_COMMANDS), cpu_s(worker), _server_cpu_s(arena)
        await contestant.done(arena, workload)
    commands, ours_s, theirs_s = (late - early for early, late in zip(before, after, strict=True))
    ours_us = 1e6 * ours_s / commands
    return {
        "commands": commands,
        "worker_us": round(ours_us),
        "postgres_us": round(1e6 * theirs_s / commands),
        "stages_us": {stage: round(share * ours_us, 1) for stage, share in shares(seen).items()},
        "samples": seen.total(),
    }, seen


async def _handled(arena: Arena, least: int) -> int:
    """Wait until so many commands are handled; return how many are."""
    connection = await asyncpg.connect(arena.database_url)
    count = 0

    async def enough() -> bool:
        nonlocal count
        arena.check_alive()
        count = await connection.fetchval("SELECT count(*) FROM reservations.inbox")
        return bool(count >= least)

    try:
        await eventually(enough, limit_s=60, every_s=0.05)
    finally:
        await connection.close()
    return count


def _server_cpu_s(arena: Arena) -> float:
    """Return the processor time of the database's processes that serve this arena."""
    name = arena.database_url.rpartition("/")[2]
    return sum(cpu_s(int(entry.parent.name)) for entry in Path("/proc").glob("[0-9]*/cmdline") if _serves(entry, name))


def _serves(entry: Path, database: str) -> bool:
    try:
        words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return False
    return bool(words.startswith("postgres:") and f" {database} " in words)


async def _sample(pid: int, seconds: float, path: Path) -> "Counter[Stack]":
    sampling = await asyncio.create_subprocess_exec(
        *("py-spy", "record", "--pid", str(pid), "--output", str(path), "--format", "raw", "--gil", "--threads"),
        *("--rate", str(SAMPLES_PER_S), "--duration", str(round(seconds))),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await sampling.wait() == 0, "py-spy could not look at the worker"
    return stacks_of(await asyncio.to_thread(path.read_text))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures, and draw the stacks if a name is given."""
    parser = ArgumentParser(prog="python -m tests.bench.flame", description=__doc__)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--broker", choices=(EMBEDDED, APACHE), default=EMBEDDED)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="where to draw it; .svg and .png are added")
    asked = parser.parse_args(arguments)
    with a_ground(asked.broker) as ground:
        figures, seen = asyncio.run(look(ground, asked))
    print(json.dumps(figures))
    if asked.plot:
        draw(flame_of(seen), asked.plot, "Processor time of one worker at full speed, from its event loops down")


if __name__ == "__main__":
    main()
