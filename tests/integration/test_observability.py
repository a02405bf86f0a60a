"""Rules, runbook and metrics belong together: an entry for each alert, and every metric that is named exists."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reservations.app import backup
from reservations.app.pgbackrest import Backups
from reservations.app.settings import Settings
from reservations.tables.archiver import Archiver
from tests.conditions import eventually
from tests.service import Service

REPOSITORY = Path(__file__).parents[2]
PROMETHEUS = REPOSITORY / "operations" / "prometheus"
GRAFANA = REPOSITORY / "operations" / "grafana"
RUNBOOK = REPOSITORY / "docs" / "runbook.md"
METRICS = REPOSITORY / "docs" / "metrics.md"
BACKUPS = REPOSITORY / "docs" / "backup.md"
HEADER = "| metric | type | labels | process | meaning |\n|---|---|---|---|---|\n"
RECORDED = re.compile(r"\breservations:[a-z_]+:\w+")
OWN = re.compile(r"\breservations_[a-z_]+\b(?!\[?\.)")  # not the name of a file
WINDOWS = ("5m", "30m", "1h", "6h")
SUFFIXES = ("_total", "_bucket", "_count", "_sum")


def rules() -> Iterator[dict[str, str]]:
    """Give every rule."""
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]:
        yield from group["rules"]


def alerts() -> list[str]:
    """Return the names of all alerts."""
    return [rule["alert"] for rule in rules() if "alert" in rule]


def test_every_alert_has_an_entry_in_the_runbook_and_the_reverse() -> None:
    entries = re.findall(r"^## (.*)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    assert entries == alerts()
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"  # type: ignore[index]


def test_every_entry_says_what_it_means_where_to_look_and_what_to_do() -> None:
    entries = re.split(r"^## .*\n", RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)[1:]
    parts = [
        re.fullmatch(r"\n(.+)\n\n\*\*Look\*\*\n\n(- .+)\n\n\*\*Do\*\*\n\n(1\. .+)\n+", each, re.DOTALL)
        for each in entries
    ]
    assert None not in parts


def test_every_alert_pages_somebody_or_makes_a_ticket() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})  # type: ignore[comparison-overlap]


def test_every_alert_is_seen_firing_and_silent() -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each["exp_alerts"]}
    silent = {each["alertname"] for test in tests for each in test["alert_rule_test"] if not each["exp_alerts"]}
    assert fired == silent == set(alerts())


@pytest.mark.parametrize(
    "command",
    [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml"), ("check", "config", "prometheus.yml")],
    ids=str,
)
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH: it comes with Prometheus")
    done = subprocess.run([promtool, *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def until_the_worker_reads(service: Service) -> None:
    """Wait for what a worker shows only once it has all of its partitions."""

    async def look() -> bool:
        url = next(each.url() for each in service.processes if each.name == "worker")
        _, text, _ = await service.ask("GET", f"{url}/metrics")
        return "\nreservations_oldest_message_seconds{" in text and "\nreservations_consumer_lag{" in text

    await eventually(look)


async def exported(service: Service) -> dict[str, tuple[str, str, str]]:
    """Return the service's own metrics by name, each with its type, its meaning and the processes that have it."""
    await until_the_worker_reads(service)
    found: dict[str, tuple[str, str, str]] = {}
    for process in ("gateway", "worker"):
        url = next(each.url() for each in service.processes if each.name == process)
        _, text, _ = await service.ask("GET", f"{url}/metrics")
        for family in text_string_to_metric_families(text):
            if family.name.startswith("reservations_") and not family.name.endswith("_created"):
                others = found[family.name][2] + ", " if family.name in found else ""
                found[family.name] = (family.type, family.documentation, others + process)
    return found


@pytest.fixture
def backup_metrics(tmp_path: Path) -> set[str]:
    """Give the names that `reservations backup status` writes for node exporter."""
    archiver = Archiver(is_on=True, is_standby=False, age_s=60, failed_count=0, is_failing=False)
    status = backup.judge(Backups(None, 1, 0, 0, 0), archiver, 0, Settings())
    backup.write_textfile(tmp_path / "backup.prom", status, Settings())
    return {family.name for family in text_string_to_metric_families((tmp_path / "backup.prom").read_text())}


def test_the_page_on_backups_lists_their_metrics_and_no_other(backup_metrics: set[str]) -> None:
    assert set(re.findall(r"^\| `(reservations_\w+)` \|", BACKUPS.read_text("utf-8"), re.MULTILINE)) == backup_metrics


async def test_the_document_lists_every_metric_and_no_other(service: Service) -> None:
    found = await exported(service)
    text = METRICS.read_text("utf-8")
    before, _, after = text.partition(HEADER)
    listed = {cells[0].strip("`"): cells for cells in _rows(after)}
    if os.environ.get("UPDATE_DOCS"):
        lines = [
            f"| `{name}` | {kind} | {listed[name][2] if name in listed else ''} | {processes} | {meaning} |\n"
            for name, (kind, meaning, processes) in sorted(found.items())
        ]
        METRICS.write_text(before + HEADER + "".join(lines) + after[len(_table(after)) :], "utf-8")
        return
    shown = {name: (cells[1], cells[4], cells[3]) for name, cells in listed.items()}
    assert shown == found


def _table(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith("|"))


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in _table(text).splitlines()]


def test_the_dashboard_is_what_its_code_makes() -> None:
    code = subprocess.run([sys.executable, GRAFANA / "dashboard.py"], capture_output=True, text=True, check=True)
    assert (GRAFANA / "reservations.json").read_text("utf-8") == code.stdout


def dashboard_queries() -> list[str]:
    """Return every query of the dashboard."""
    dashboard = json.loads((GRAFANA / "reservations.json").read_text("utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def family_of(name: str, known: set[str]) -> str:
    """Return the metric that a name in a query is of."""
    bare = (name.removesuffix(each) for each in SUFFIXES if name.endswith(each))
    return name if name in known else next(bare, name)


async def test_what_rules_dashboard_and_runbook_name_exists_and_the_dashboard_shows_all(
    service: Service, backup_metrics: set[str]
) -> None:
    known = set(await exported(service)) | backup_metrics
    shown = {family_of(name, known) for query in dashboard_queries() for name in OWN.findall(query)}
    in_rules = {family_of(name, known) for rule in rules() for name in OWN.findall(rule["expr"])}
    in_runbook = {family_of(name, known) for name in OWN.findall(RUNBOOK.read_text("utf-8"))}
    assert shown == known
    assert in_rules
    assert in_rules <= known
    assert in_runbook
    assert in_runbook <= known


def test_a_ratio_is_the_same_over_each_window_and_what_is_counted_is_above_its_line() -> None:
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    for objective in {name.rpartition(":")[0] for name in recorded}:
        ratios = {recorded[f"{objective}:ratio{window}"].replace(f"[{window}]", "[…]") for window in WINDOWS}
        for window in ("1h", "6h"):
            counted = recorded[f"{objective}:increase{window}"].replace("increase(", "rate(")
            counted = counted.replace(f"[{window}]", "[…]")
            assert {ratio.partition("\n/ ")[0] for ratio in ratios} <= {counted, f"({counted})"}
        assert len(ratios) == 1


@pytest.mark.parametrize(
    ("pace", "long", "short", "factor"), [("Fast", "1h", "5m", "14.4"), ("Slow", "6h", "30m", "6")]
)
def test_budgets_burn_over_two_windows_by_the_same_factor(pace: str, long: str, short: str, factor: str) -> None:
    burns = {rule["alert"]: rule["expr"] for rule in rules() if rule.get("alert", "").endswith(f"{pace}Burn")}
    spent = {}
    for expression in burns.values():
        objective, budget = re.findall(r"^reservations:(\w+):ratio.* ([\d.]+)$", expression, re.MULTILINE)[0]
        above = [f"reservations:{objective}:ratio{window} > {factor} * {budget}" for window in (long, short)]
        assert expression.split("\nand ") == [*above, f"reservations:{objective}:increase{long} >= 10"]
        spent[objective] = budget
    assert spent == {"command_errors": "0.001", "rest_errors": "0.001", "rest_slow": "0.01"}


def test_what_is_recorded_is_used_and_what_is_used_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    queries = [*(rule["expr"] for rule in rules()), *dashboard_queries()]
    assert {name for query in queries for name in RECORDED.findall(query)} == recorded


async def test_the_age_of_what_is_in_hand_is_shown_for_every_topic(service: Service) -> None:
    async def look() -> bool:
        url = next(each.url() for each in service.processes if each.name == "worker")
        _, text, _ = await service.ask("GET", f"{url}/metrics")
        families = {family.name: family for family in text_string_to_metric_families(text)}
        samples = families["reservations_oldest_message_seconds"].samples
        return len(samples) == 3 and all(sample.value == 0 for sample in samples)

    await eventually(look)
