"""The dashboard, as code: `python operations/grafana/dashboard.py > operations/grafana/reservations.json`."""

import json
import sys
from collections.abc import Iterator
from typing import Any

WIDTH, HEIGHT, PER_ROW = 8, 8, 3
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

#: Title, unit, and each query with its legend.
PANELS: list[tuple[str, str, list[tuple[str, str]]]] = [
    (
        "Commands a second, by outcome",
        "ops",
        [("sum by (outcome) (rate(reservations_commands_total[$__rate_interval]))", "{{outcome}}")],
    ),
    (
        "Refusals a second, by code",
        "ops",
        [('sum by (code) (rate(reservations_commands_total{code!=""}[$__rate_interval]))', "{{code}}")],
    ),
    (
        "From arrival to outcome",
        "s",
        [
            (f"histogram_quantile({q}, sum by (le) (rate(reservations_command_seconds_bucket[$__rate_interval])))", p)
            for q, p in ((0.5, "p50"), (0.99, "p99"))
        ],
    ),
    (
        "Oldest message in hand",
        "s",
        [("max by (topic) (reservations_oldest_message_seconds)", "{{topic}}")],
    ),
    (
        "Messages not handled",
        "short",
        [
            ("sum by (topic) (reservations_consumer_lag)", "{{topic}}"),
            ("max(reservations_command_backlog)", "as gateways see it"),
            ("min(reservations_command_backlog_limit)", "from here on writes are refused"),
        ],
    ),
    (
        "Dead letters an hour, by code",
        "short",
        [("sum by (code) (increase(reservations_dead_letters_total[1h]))", "{{code}}")],
    ),
    (
        "Commands in a batch",
        "short",
        [
            (
                "sum(rate(reservations_batch_size_sum[$__rate_interval]))"
                " / sum(rate(reservations_batch_size_count[$__rate_interval]))",
                "mean",
            )
        ],
    ),
    (
        "Transaction",
        "s",
        [
            (
                f"histogram_quantile({q},"
                " sum by (le) (rate(reservations_transaction_seconds_bucket[$__rate_interval])))",
                p,
            )
            for q, p in ((0.5, "p50"), (0.99, "p99"))
        ],
    ),
    (
        "Neighbours, by how it ended",
        "ops",
        [
            (
                "sum by (neighbour, outcome) (rate(reservations_neighbour_seconds_count[$__rate_interval]))",
                "{{neighbour}} {{outcome}}",
            )
        ],
    ),
    (
        "Requests a second, by route",
        "reqps",
        [
            (
                "sum by (method, route) (rate(reservations_http_requests_total[$__rate_interval]))",
                "{{method}} {{route}}",
            )
        ],
    ),
    (
        "Requests answered 4xx and 5xx",
        "reqps",
        [
            (
                'sum by (status) (rate(reservations_http_requests_total{status=~"[45].."}[$__rate_interval]))',
                "{{status}}",
            )
        ],
    ),
    (
        "Time to answer, p99 by route",
        "s",
        [
            (
                "histogram_quantile(0.99, sum by (le, method, route)"
                " (rate(reservations_http_request_seconds_bucket[$__rate_interval])))",
                "{{method}} {{route}}",
            )
        ],
    ),
    (
        "Database connections",
        "short",
        [
            ("sum by (job, state) (reservations_pool_connections)", "{{job}} {{state}}"),
            ("sum by (job) (reservations_pool_waiting)", "{{job}} waiting"),
        ],
    ),
    (
        "Wait for a database connection, p99",
        "s",
        [
            (
                "histogram_quantile(0.99, sum by (le, job)"
                " (rate(reservations_pool_wait_seconds_bucket[$__rate_interval])))",
                "{{job}}",
            )
        ],
    ),
    (
        "Budget that is spent: 1 spends it in 30 days",
        "short",
        [
            ("reservations:command_errors:ratio1h / 0.001", "commands that failed"),
            ("reservations:rest_errors:ratio1h / 0.001", "requests answered 5xx"),
            ("reservations:rest_slow:ratio1h / 0.01", "requests over a second"),
        ],
    ),
    (
        "Age of the last backup and of the last archived WAL",
        "s",
        [
            ("max(reservations_backup_age_seconds)", "backup"),
            ("min(reservations_backup_age_limit_seconds)", "backup, at most"),
            ("max(reservations_wal_archive_age_seconds)", "WAL"),
            ("min(reservations_wal_archive_age_limit_seconds)", "WAL, at most"),
        ],
    ),
    (
        "Backups",
        "bytes",
        [
            ("max(reservations_backup_size_bytes)", "size of the last"),
            ("max(reservations_backup_problems)", "problems"),
        ],
    ),
    (
        "Connections of callers",
        "short",
        [
            ("sum(reservations_http_connections)", "open"),
            ("sum by (reason) (increase(reservations_http_connections_ended_total[5m]))", "ended: {{reason}}"),
        ],
    ),
    (
        "Watchdog, and months ahead",
        "short",
        [
            ("max(reservations_seconds_without_progress)", "seconds without progress"),
            ("min(reservations_watchdog_limit_seconds)", "at which a worker ends"),
            ("min(reservations_partitions_ahead)", "months ahead"),
        ],
    ),
    (
        "Memory",
        "bytes",
        [('process_resident_memory_bytes{job=~"reservations-.*"}', "{{job}} {{instance}}")],
    ),
    (
        "Processor",
        "percentunit",
        [('rate(process_cpu_seconds_total{job=~"reservations-.*"}[$__rate_interval])', "{{job}} {{instance}}")],
    ),
]


def panels() -> Iterator[dict[str, Any]]:
    """Give the panels, in rows of three."""
    for number, (title, unit, queries) in enumerate(PANELS):
        row, column = divmod(number, PER_ROW)
        yield {
            "id": number + 1,
            "type": "timeseries",
            "title": title,
            "datasource": DATASOURCE,
            "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [
                {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
                for place, (expr, legend) in enumerate(queries)
            ],
        }


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    variable = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "svc-reservations",
        "title": "svc-reservations",
        "tags": ["svc-reservations"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": list(panels()),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=2) + "\n")
