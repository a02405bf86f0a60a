"""What benchmark runs came to: `python -m tests.bench.report FILE [--plot NAME]` makes a table, and a picture."""

import json
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HEAD = "| | effects per second, median | lowest to highest | runs | of the first | wrong |\n|---|---|---|---|---|---|"
FORMATS = ("svg", "png")
INCHES_A_ROW = 0.45


@dataclass(frozen=True)
class Standing:
    """How one contestant did in all runs; one that was wrong in any has no rank."""

    name: str
    rates: Sequence[float]
    wrongs: Sequence[str]

    @property
    def median(self) -> float:
        """The median of its rates, in correct effects per second."""
        return median(self.rates)


def standings(lines: Sequence[Mapping[str, Any]]) -> list[Standing]:
    """Return the contestants in the order of their first run, from the lines that the benchmark printed."""
    runs: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        if "per_second" in line:
            runs[line["contestant"]].append(line)
    return [
        Standing(name, [each["per_second"] for each in of], [wrong for each in of for wrong in each["wrongs"]])
        for name, of in runs.items()
    ]


def table(found: Sequence[Standing]) -> str:
    """Return a Markdown table; the first contestant is what the others are compared with."""
    return "\n".join([HEAD, *(_row(each, found[0]) for each in found)])


def _row(each: Standing, first: Standing) -> str:
    share = "not ranked" if each.wrongs else f"{each.median / first.median:.0%}"
    span = f"{min(each.rates):,.0f} to {max(each.rates):,.0f}"
    wrong = "; ".join(sorted(set(each.wrongs))) or "nothing"
    return f"| {each.name} | {each.median:,.0f} | {span} | {len(each.rates)} | {share} | {wrong} |"


def plot(found: Sequence[Standing], path: Path, title: str) -> None:
    """Draw the medians as bars with their ranges, as SVG and PNG beside each other."""
    from matplotlib.figure import Figure

    ranked = sorted((each for each in found if not each.wrongs), key=lambda each: each.median)
    figure = Figure(figsize=(8, 1.2 + INCHES_A_ROW * len(ranked)), layout="constrained")
    axes = figure.subplots()
    below = [each.median - min(each.rates) for each in ranked]
    above = [max(each.rates) - each.median for each in ranked]
    colours = ["#1f6f8b" if each.name.startswith("svc-reservations") else "#b8b8b8" for each in ranked]
    names = [each.name for each in ranked]
    bars = axes.barh(names, [each.median for each in ranked], xerr=[below, above], color=colours, capsize=3)
    axes.bar_label(bars, [f"{each.median:,.0f}" for each in ranked], padding=6)
    axes.set_xlabel("correct effects per second")
    axes.set_title(title)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    for kind in FORMATS:
        figure.savefig(path.with_suffix(f".{kind}"), dpi=110, metadata={"Date": None} if kind == "svg" else None)


def main() -> None:
    """Print the table of the lines kept in files, and draw it if asked to."""
    parser = ArgumentParser(prog="python -m tests.bench.report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--plot", type=Path, help="where the pictures go, without .svg or .png")
    parser.add_argument("--title", default="Correct effects per second, from a full topic")
    options = parser.parse_args()
    lines = [json.loads(line) for file in options.files for line in file.read_text().splitlines() if line[:1] == "{"]
    found = standings(lines)
    print(table(found))
    if options.plot:
        plot(found, options.plot, options.title)


if __name__ == "__main__":
    main()
