"""What the files in operations say of the processes: compose.yaml, and the manifests for Kubernetes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

OPERATIONS = Path(__file__).parents[1] / "operations"
COMPOSE = OPERATIONS / "compose.yaml"
KUBERNETES = OPERATIONS / "kubernetes"
CREDENTIALS = KUBERNETES / "credentials.example.yaml"
OWN_IMAGE = "svc-reservations"
ONE_SHOT = {"migrate", "topics", "release"}
ASKED = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


@dataclass(frozen=True)
class Deployed:
    """A container of ours as a file describes it: its command, its settings, how long it gets to stop."""

    where: str
    command: str
    variables: Mapping[str, str]
    grace_s: float


@cache
def compose() -> dict[str, Any]:
    """Return compose.yaml."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return found


def ours(services: Mapping[str, Any]) -> dict[str, Any]:
    """Return the services that run our image."""
    return {name: each for name, each in services.items() if each["image"].partition(":")[0] == OWN_IMAGE}


@cache
def manifests() -> tuple[dict[str, Any], ...]:
    """Return every object for Kubernetes, the example's too."""
    files = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
    return tuple(each for path in files for each in yaml.safe_load_all(path.read_text("utf-8")))


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    """Return the objects of these kinds."""
    return [each for each in manifests() if each["kind"] in kinds]


def named(kind: str, name: str) -> dict[str, Any]:
    """Return the one object of that kind and name."""
    (found,) = (each for each in of_kind(kind) if each["metadata"]["name"] == name)
    return found


def deployed() -> Iterator[Deployed]:
    """Give every container of ours, in compose.yaml and in the manifests."""
    for name, service in ours(compose()["services"]).items():
        variables = {key: interpolated(value) for key, value in service["environment"].items()}
        yield Deployed(f"compose {name}", service["command"][0], variables, seconds(service["stop_grace_period"]))
    for workload in of_kind("Deployment", "Job"):
        pod = workload["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        pause_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace_s = pod.get("terminationGracePeriodSeconds", 30) - pause_s
        yield Deployed(f"kubernetes {container['name']}", container["args"][0], variables_of(container), grace_s)


def variables_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Return what a container's environment holds."""
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= named("ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {each["name"]: _value(each) for each in container["env"]}


def _value(variable: Mapping[str, Any]) -> str:
    if "value" in variable:
        return str(variable["value"])
    reference = variable["valueFrom"]["secretKeyRef"]
    return str(named("Secret", reference["name"])["stringData"][reference["key"]])


def interpolated(value: str) -> str:
    """Return a value of compose.yaml as it is when only what must be told is told."""
    return ASKED.sub(lambda found: found[3] if found[2] == "-" else "told", value)


def seconds(duration: str) -> float:
    """Return a duration of compose.yaml in seconds."""
    return float(duration.removesuffix("s"))
