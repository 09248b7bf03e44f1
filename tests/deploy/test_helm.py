"""The Helm chart, rendered by Helm itself; its objects checked against the schemas of Kubernetes."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from support.parts import PARTS, ROOT, program
from tachograph.catalogue.export.files import files
from tachograph.cli import console, ledger
from tachograph.settings import Settings

CHART = ROOT / "deploy/helm/tachograph"
OPERATOR = "monitoring.coreos.com/v1"


@pytest.fixture(scope="module")
def helm() -> str:
    unpacked = PARTS / "helm/helm/helm"
    return str(unpacked) if unpacked.is_file() else program("helm")


def rendered(helm: str, *settings: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [helm, "template", "shop", str(CHART), "--namespace", "prod", *settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


def pod(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (workload,) = of_kind(objects, kind)
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def test_helm_lints_the_chart_strictly(helm: str) -> None:
    done = subprocess.run([helm, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("--set", "console.persistence.enabled=false", "--set", "console.prometheusUrl="),
        ("--set", "console.scrape={http://app:9464/metrics}", "--set", "image.tag=2.0"),
        ("--set", "writer.enabled=false"),
        ("--set", "console.enabled=false", "--set", "prometheusRule.labels.release=kube"),
    ],
)
def test_every_object_is_what_kubernetes_knows_and_nothing_more(helm: str, settings: tuple[str, ...]) -> None:
    objects = rendered(helm, *settings)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    for one in objects:
        if one["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(one, "1.33", strict=True)


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_containers_run_without_privileges_on_a_read_only_root(helm: str, kind: str) -> None:
    spec = pod(rendered(helm), kind)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert {"startupProbe", "livenessProbe"} <= set(container)
    secret = next(one for one in container["env"] if one["name"] == "TACHOGRAPH_LEDGER_URL")
    assert secret["valueFrom"]["secretKeyRef"] == {"name": "tachograph-ledger", "key": "url"}


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_the_command_lines_are_ones_that_the_program_takes(helm: str, kind: str) -> None:
    (container,) = pod(rendered(helm, "--set", "console.scrape={http://app:9464/metrics}"), kind)["containers"]
    command, *rest = container["args"]
    module = {"console": console, "ledger": ledger}[command]
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.add_arguments(parser)
    parser.parse_args(rest)


def test_selectors_find_the_pods_that_they_mean(helm: str) -> None:
    objects = rendered(helm)
    workloads = of_kind(objects, "Deployment") + of_kind(objects, "DaemonSet")
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in workloads]
    services = of_kind(objects, "Service")
    for service in services:
        assert sum(service["spec"]["selector"].items() <= labels.items() for labels in pods) == 1
    (monitor,) = of_kind(objects, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (found,) = [one for one in services if wanted <= one["metadata"]["labels"].items()]
    assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in found["spec"]["ports"]]


def test_rules_and_dashboards_are_the_export(helm: str, tmp_path: Path) -> None:
    objects = rendered(helm)
    texts = files(Settings(), only=("grafana", "prometheus"))
    boards = [json.loads(text) for one in of_kind(objects, "ConfigMap") for text in one["data"].values()]
    assert boards == [json.loads(text) for name, text in sorted(texts.items()) if name.endswith(".json")]
    groups = [group for one in of_kind(objects, "PrometheusRule") for group in one["spec"]["groups"]]
    exported = [yaml.safe_load(text)["groups"] for name, text in sorted(texts.items()) if "/rules/" in name]
    assert groups == [group for part in exported for group in part]
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"groups": groups}), "utf-8")
    assert subprocess.run([program("promtool"), "check", "rules", str(path)], check=False).returncode == 0


def test_a_value_that_does_not_exist_is_refused(helm: str) -> None:
    done = subprocess.run(
        [helm, "template", "shop", str(CHART), "--set", "console.prot=1"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "prot" in done.stderr
