"""The files that deploy the service name what the service has, and are as careful as the rules for containers ask."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from reservations import __version__
from reservations.app.dependencies import CLOSE_TIMEOUT_S
from reservations.app.settings import Settings
from reservations.app.settings.auth import Auth
from reservations.app.worker import CLOSING_LIMIT_S
from reservations.http.health import Health, Readiness
from tests.certificates import Authority
from tests.manifests import (
    ASKED,
    COMPOSE,
    CREDENTIALS,
    KUBERNETES,
    ONE_SHOT,
    OPERATIONS,
    OWN_IMAGE,
    Deployed,
    compose,
    deployed,
    manifests,
    named,
    of_kind,
    ours,
)

REPOSITORY = OPERATIONS.parent
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-\w+)?")
CONNECTIONS_FOR_OTHERS = 20  # administrators, exporters, `migrate`
DEPLOYED = list(deployed())
LONG_RUNNING = [each for each in DEPLOYED if each.command not in ONE_SHOT]
SERVICES: dict[str, Any] = compose()["services"]

everywhere = pytest.mark.parametrize("each", DEPLOYED, ids=lambda each: each.where)


def settings_of(each: Deployed, folder: Path) -> Settings:
    """Return the settings of a container; its files are played by some that are there."""
    password = folder / "password"
    password.write_text("secret")
    files = {"_CA_FILE": Authority(folder, "authority").certificate, "_PASSWORD_FILE": password}
    given = {
        name.lower(): next((str(file) for end, file in files.items() if name.endswith(end)), value)
        for name, value in each.variables.items()
    }
    return Settings.model_validate(given)


def metrics() -> set[str]:
    """Return the names that docs/metrics.md lists, which a test of its own compares with what is served."""
    return set(re.findall(r"^\| `(\w+)`", (REPOSITORY / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))


def pods() -> list[dict[str, Any]]:
    """Return what the pods are made of."""
    return [each["spec"]["template"]["spec"] for each in of_kind("Deployment", "Job")]


def test_the_prometheus_operator_gets_the_same_rules() -> None:
    program: list[str | Path] = [sys.executable, KUBERNETES / "prometheus_rule.py"]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert printed == (KUBERNETES / "alerts.yaml").read_text("utf-8")
    (rule,) = of_kind("PrometheusRule")
    assert rule["spec"] == yaml.safe_load((OPERATIONS / "prometheus" / "rules.yml").read_text("utf-8"))


def test_all_processes_are_deployed_in_both_ways() -> None:
    found = {(each.where.partition(" ")[0], each.command) for each in DEPLOYED}
    assert found == {("compose", each) for each in ("migrate", "topics", "worker", "gateway")} | {
        ("kubernetes", each) for each in ("release", "worker", "gateway")
    }


@everywhere
def test_every_variable_is_a_setting(each: Deployed) -> None:
    assert each.variables
    assert {name.lower() for name in each.variables} <= set(Settings.model_fields)


@everywhere
def test_the_service_takes_these_settings_and_misses_none(each: Deployed, tmp_path: Path) -> None:
    settings = settings_of(each, tmp_path)
    assert settings.database_url
    assert settings.kafka_bootstrap_servers
    if each.command == "gateway":
        assert settings.auth is Auth.REQUIRED
        assert not settings.auth_is_missing()


@everywhere
def test_a_process_gets_more_time_to_stop_than_it_takes(each: Deployed, tmp_path: Path) -> None:
    closing_s = max(CLOSING_LIMIT_S, 3 * CLOSE_TIMEOUT_S)
    assert each.grace_s > settings_of(each, tmp_path).stop_deadline_s + closing_s


def test_every_image_is_pinned_and_ours_is_this_version() -> None:
    (ours_in_kubernetes,) = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"]
    for name, service in SERVICES.items():
        assert PINNED.fullmatch(service["image"]), name
    assert {each["image"] for each in ours(SERVICES).values()} == {f"{OWN_IMAGE}:{__version__}"}
    assert {container["image"] for pod in pods() for container in pod["containers"]} == {OWN_IMAGE}
    assert (ours_in_kubernetes["name"], ours_in_kubernetes["newTag"]) == (OWN_IMAGE, __version__)


def test_the_broker_is_the_one_that_is_tested() -> None:
    versions = re.findall(r"<version>([\d.]+)</version>", (REPOSITORY / "tests/apache_kafka/pom.xml").read_text())
    assert SERVICES["kafka"]["image"].partition(":")[2] in versions


def test_no_port_is_published_beyond_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    assert len({port.split(":")[1] for port in ports}) == len(ports)
    assert not [name for name, service in SERVICES.items() if service.get("network_mode") == "host"]


def test_every_service_has_limits_and_all_that_stay_are_watched_and_started_again() -> None:
    for name, service in SERVICES.items():
        stays = name not in ONE_SHOT
        assert service["mem_limit"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert service["restart"] == ("unless-stopped" if stays else "no"), name
        # Our image brings its health check along.
        assert not stays or name in ours(SERVICES) or service["healthcheck"]["test"], name


def test_our_containers_may_do_nothing_that_they_need_not() -> None:
    for name, service in ours(SERVICES).items():
        assert service["read_only"], name
        assert service["tmpfs"] == ["/tmp"], name  # noqa: S108 - what it may write to
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "user", "pid", "devices"} & service.keys(), name


def test_our_pods_may_do_nothing_that_they_need_not() -> None:
    for pod in pods():
        assert not pod["automountServiceAccountToken"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert f"USER {pod['securityContext']['runAsUser']}:" in (REPOSITORY / "Dockerfile").read_text()
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert {"cpu", "memory"} == container["resources"]["requests"].keys()


def test_database_and_topics_are_there_before_the_processes_start() -> None:
    for name, service in ours(SERVICES).items():
        if name not in ONE_SHOT:
            assert service["depends_on"] == {
                each: {"condition": "service_completed_successfully"} for each in ("migrate", "topics")
            }, name
    for name, server in (("migrate", "postgres"), ("topics", "kafka")):
        assert SERVICES[name]["depends_on"] == {server: {"condition": "service_healthy"}}


def test_probes_ask_what_the_processes_serve() -> None:
    health = Health({}, lambda _: Readiness.READY, lambda: None)
    served = {route.path for route in health.routes(CollectorRegistry())}  # type: ignore[attr-defined]
    ports = {"gateway": Settings.model_fields["reservations_http_port"].default}
    ports["worker"] = Settings.model_fields["reservations_worker_http_port"].default
    for deployment in of_kind("Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["ports"] == [{"name": "http", "containerPort": ports[container["name"]]}]
        for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
            asked = container[f"{probe}Probe"]["httpGet"]
            assert asked == {"path": f"/health/{path}", "port": "http"}
            assert asked["path"] in served
    (monitor,) = of_kind("ServiceMonitor")
    assert {each["path"] for each in monitor["spec"]["endpoints"]} <= served


def test_every_metric_that_scales_exists() -> None:
    queries = [
        trigger["metadata"]["query"] for scaled in of_kind("ScaledObject") for trigger in scaled["spec"]["triggers"]
    ]
    used = {name for query in queries for name in re.findall(r"\breservations_\w+", query)}
    assert used
    assert used <= metrics()


def test_what_is_scraped_has_the_names_that_the_alerts_mean() -> None:
    meant = set(re.findall(r'job="([\w-]+)"', (OPERATIONS / "prometheus" / "rules.yml").read_text()))
    meant |= set(re.findall(r'job="([\w-]+)"', (KUBERNETES / "worker-scaling.yaml").read_text()))
    scraped = yaml.safe_load((OPERATIONS / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert {each["job_name"] for each in scraped} == meant
    # The operator names a job after its Service.
    assert {each["metadata"]["name"] for each in of_kind("Service")} == meant
    names = {name for each in scraped for found in each["dns_sd_configs"] for name in found["names"]}
    known = {alias for each in SERVICES.values() for alias in _aliases(each)} | set(SERVICES)
    assert names <= known


def _aliases(service: dict[str, Any]) -> list[str]:
    return [alias for network in service.get("networks", {}).values() for alias in network["aliases"]]


def test_there_are_never_more_workers_than_partitions(tmp_path: Path) -> None:
    (scaled,) = of_kind("ScaledObject")
    most = {"kubernetes": scaled["spec"]["maxReplicaCount"], "compose": SERVICES["worker"]["deploy"]["replicas"]}
    for each in LONG_RUNNING:
        if each.command == "worker":
            assert most[each.where.partition(" ")[0]] <= settings_of(each, tmp_path).kafka_partitions
    strategy = named("Deployment", "reservations-worker")["spec"]["strategy"]
    assert strategy["rollingUpdate"]["maxSurge"] == 0


def test_the_database_takes_the_connections_that_the_processes_may_open(tmp_path: Path) -> None:
    allowed = int(re.findall(r"max_connections=(\d+)", SERVICES["postgres"]["command"])[0])
    opened = sum(
        settings_of(each, tmp_path).pool_max_size
        * SERVICES[each.where.partition(" ")[2]].get("deploy", {}).get("replicas", 1)
        for each in LONG_RUNNING
        if each.where.startswith("compose")
    )
    assert opened + CONNECTIONS_FOR_OTHERS <= allowed


def test_the_document_adds_up_the_connections_as_the_manifests_do(tmp_path: Path) -> None:
    (workers,), (gateways,) = of_kind("ScaledObject"), of_kind("HorizontalPodAutoscaler")
    surge = named("Deployment", "reservations-gateway")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    most = {"worker": workers["spec"]["maxReplicaCount"], "gateway": gateways["spec"]["maxReplicas"] + surge}
    pools = {each.where: settings_of(each, tmp_path).pool_max_size for each in LONG_RUNNING}
    parts = [most[name] * pools[f"kubernetes {name}"] for name in ("worker", "gateway")]
    assert f"+ 20 = {sum(parts) + CONNECTIONS_FOR_OTHERS};" in (REPOSITORY / "docs/deployment.md").read_text("utf-8")


def test_the_example_names_what_compose_asks_and_holds_no_secret() -> None:
    asked = {found[0] for found in ASKED.findall(COMPOSE.read_text("utf-8"))}
    lines = [line for line in (OPERATIONS / ".env.example").read_text("utf-8").splitlines() if line]
    told = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert told == dict.fromkeys(asked, "")
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert {"operations/.env", "operations/secrets/"} <= set(ignored)


def test_no_secret_stands_in_the_manifests() -> None:
    assert {each["metadata"]["name"] for each in of_kind("Secret")} == {
        f"reservations-{each}" for each in ("owner", "worker", "gateway")
    }
    for secret in yaml.safe_load_all(CREDENTIALS.read_text("utf-8")):
        for value in {**secret.get("stringData", {}), **secret.get("data", {})}.values():
            assert "CHANGE-ME" in value
    assert CREDENTIALS.name not in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]


def test_every_file_that_a_setting_names_is_mounted() -> None:
    for workload in of_kind("Deployment", "Job"):
        pod = workload["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        files = {"/tmp"}  # noqa: S108 - what a process may write to
        for mount in container["volumeMounts"]:
            files |= {f"{mount['mountPath']}/{name}" for name in _files(volumes[mount["name"]])}
        variables = next(each for each in DEPLOYED if each.where == f"kubernetes {container['name']}").variables
        wanted = {value for name, value in variables.items() if name.endswith("_FILE")}
        wanted |= set(re.findall(r"sslrootcert=([^&]+)", variables["DATABASE_URL"]))
        assert wanted
        assert wanted <= files


def _files(volume: dict[str, Any]) -> list[str]:
    if "secret" in volume:
        assert set(named("Secret", volume["secret"]["secretName"])["stringData"]) >= {
            item["key"] for item in volume["secret"]["items"]
        }
        return [item["path"] for item in volume["secret"]["items"]]
    return list(named("ConfigMap", volume["configMap"]["name"])["data"]) if "configMap" in volume else []


def test_what_points_at_a_deployment_finds_it() -> None:
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in of_kind("Deployment")
    }
    for each in of_kind("ScaledObject", "HorizontalPodAutoscaler"):
        assert each["spec"]["scaleTargetRef"]["name"] in labels
    for each in of_kind("Service"):
        assert each["spec"]["selector"] == labels[each["metadata"]["name"]]
    for each in of_kind("PodDisruptionBudget", "Deployment"):
        assert each["spec"]["selector"]["matchLabels"] == labels[each["metadata"]["name"]]
    for deployment in of_kind("Deployment"):
        for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert spread["labelSelector"]["matchLabels"] == labels[deployment["metadata"]["name"]]
        # Who scales it says how many there are.
        assert "replicas" not in deployment["spec"]


def test_nothing_is_let_through_that_no_policy_names() -> None:
    policy = named("NetworkPolicy", "deny-by-default")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for each in of_kind("NetworkPolicy"):
        for rule in [*each["spec"].get("ingress", []), *each["spec"].get("egress", [])]:
            assert rule["ports"], each["metadata"]["name"]
            assert rule.get("from") or rule.get("to"), each["metadata"]["name"]


def test_the_kustomization_takes_every_file_but_the_example() -> None:
    taken = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", CREDENTIALS.name}
    assert sorted(taken) == sorted(there)
    assert len({(each["kind"], each["metadata"]["name"]) for each in manifests()}) == len(manifests())


def test_kubectl_puts_it_together() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on PATH")
    made = subprocess.run([kubectl, "kustomize", KUBERNETES], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    objects = list(yaml.safe_load_all(made.stdout))
    assert len(objects) == len(manifests()) - len(list(yaml.safe_load_all(CREDENTIALS.read_text("utf-8"))))
    assert {each["metadata"].get("namespace", "") for each in objects if each["kind"] != "Namespace"} == {
        "reservations"
    }
