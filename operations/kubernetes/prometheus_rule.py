"""The alerts for the Prometheus operator: run this, and keep what it prints as alerts.yaml."""

import sys
from pathlib import Path

RULES = Path(__file__).parents[1] / "prometheus" / "rules.yml"
HEAD = """\
# The rules of operations/prometheus/rules.yml, written by prometheus_rule.py. Alter them there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: reservations
spec:
"""


def main() -> None:
    """Print the object."""
    _, groups = RULES.read_text("utf-8").split("\ngroups:\n")
    sys.stdout.write(HEAD + "  groups:\n")
    sys.stdout.writelines(f"  {line}\n" if line else "\n" for line in groups.splitlines())


if __name__ == "__main__":
    main()
