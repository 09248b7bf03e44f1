"""What is deployed is valid, as far as the tools at hand can tell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tachograph import catalogue
from tachograph.catalogue.export.files import files
from tachograph.cli import main
from tachograph.errors import SettingsError
from tachograph.settings import Settings, load

ROOT = Path(__file__).parent.parent.parent
GOLDENS = ROOT / "tests/goldens"


def test_promtool_accepts_the_exported_configuration_and_rules(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "config", str(GOLDENS / "prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 rule files found" in done.stdout
    assert "FAILED" not in done.stdout


def test_every_place_that_compose_mounts_or_builds_exists() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    mounted = [volume.split(":") for service in compose["services"].values() for volume in service.get("volumes", [])]
    kept = {source for source, *_ in mounted if not source.startswith(".")}
    assert kept == set(compose["volumes"]) == {"prometheus", "alertmanager", "grafana"}
    read = [volume for volume in mounted if volume[0] not in kept]
    assert len(read) == 4
    for source, _, mode in read:
        assert (ROOT / "deploy" / source).is_dir(), source
        assert mode == "ro"
    for service in compose["services"].values():
        assert service["mem_limit"]
        assert service["healthcheck"]["test"][0] == "CMD"
    build = compose["services"]["demo"]["build"]
    assert (ROOT / build["dockerfile"]).is_file()


def test_compose_and_the_exported_files_agree_on_addresses() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    assert all(s.get("network_mode") == "service:demo" for name, s in compose["services"].items() if name != "demo")
    scraped = yaml.safe_load((GOLDENS / "prometheus/prometheus.yml").read_text("utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped["scrape_configs"]}
    assert targets == {"tachograph": ["127.0.0.1:9464"], "prometheus": ["127.0.0.1:9090"]}
    assert "--metrics-port 9464" in (ROOT / "deploy/demo/Dockerfile").read_text("utf-8")
    source = yaml.safe_load((GOLDENS / "grafana/provisioning/datasources/tachograph.yaml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://127.0.0.1:9090"
    boards = yaml.safe_load((GOLDENS / "grafana/provisioning/dashboards/tachograph.yaml").read_text("utf-8"))
    mounts = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert boards["providers"][0]["options"]["path"] in mounts


def test_the_operators_manifests_hold_the_same_rules_and_boards(tmp_path: Path, promtool: str) -> None:
    texts = files(Settings(), only=("grafana", "prometheus"), kubernetes_too=True)
    rule = yaml.safe_load(texts["kubernetes/prometheusrule.yaml"])
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps(rule["spec"]), "utf-8")
    assert subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, check=False).returncode == 0
    assert len(rule["spec"]["groups"]) == len(catalogue.rule_groups())
    board = yaml.safe_load(texts["kubernetes/dashboard-llm-provider.yaml"])
    (text,) = board["data"].values()
    assert json.loads(text) == json.loads(texts["grafana/dashboards/llm-provider.json"])
    monitor = yaml.safe_load(texts["kubernetes/podmonitor.yaml"])
    relabeled = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert relabeled == [{"targetLabel": "job", "replacement": "tachograph"}]


def monitors(**options: Any) -> dict[str, Any]:
    settings = load({"alerts": {"job": "api|worker"}}, environ={})
    texts = files(settings, only=("prometheus",), kubernetes_too=True, **options)
    return {name: yaml.safe_load(text) for name, text in texts.items() if "podmonitor" in name}


def test_each_job_has_a_pod_monitor_that_looks_into_the_applications_namespace() -> None:
    anywhere = monitors()
    assert [one["metadata"]["name"] for one in anywhere.values()] == ["api", "worker"]
    for one in anywhere.values():
        job = one["metadata"]["name"]
        assert one["spec"]["namespaceSelector"] == {"any": True}  # else only the manifest's own namespace is looked at
        assert one["spec"]["selector"] == {"matchLabels": {"app.kubernetes.io/name": job}}
        assert one["spec"]["podMetricsEndpoints"][0]["relabelings"] == [{"targetLabel": "job", "replacement": job}]
    for one in monitors(namespaces=("shop",)).values():
        assert one["spec"]["namespaceSelector"] == {"matchNames": ["shop"]}


def test_a_job_that_no_pod_can_be_labelled_with_is_refused() -> None:
    settings = load({"alerts": {"job": "api_.*"}}, environ={})
    with pytest.raises(SettingsError, match="PodMonitor"):
        files(settings, only=("prometheus",), kubernetes_too=True)


def test_nothing_is_monitored_by_scrapes_where_metrics_are_pushed() -> None:
    settings = load({"alerts": {"profile": "push", "push_interval": 60}}, environ={})
    assert not [name for name in files(settings, kubernetes_too=True) if "podmonitor" in name]


def test_two_jobs_are_scraped_and_matched_as_the_export_says(tmp_path: Path, promtool: str) -> None:
    assert main(["export", str(tmp_path), "--job", "api|worker", "--only", "prometheus"]) == 0
    config = yaml.safe_load((tmp_path / "prometheus/prometheus.yml").read_text("utf-8"))
    assert [job["job_name"] for job in config["scrape_configs"]] == ["api", "worker", "prometheus"]
    assert 'up{job=~"api|worker"} == 0' in (tmp_path / "prometheus/rules/tachograph-alerts.yaml").read_text("utf-8")
    checked = subprocess.run([promtool, "check", "config", str(tmp_path / "prometheus/prometheus.yml")], check=False)
    assert checked.returncode == 0


def test_the_mixin_has_the_layout_of_a_rendered_one_and_the_same_rules(tmp_path: Path, promtool: str) -> None:
    assert main(["export", str(tmp_path), "--mixin"]) == 0
    folder = tmp_path / "mixin"
    rules = [folder / "prometheus_alerts.yaml", folder / "prometheus_rules.yaml"]
    assert subprocess.run([promtool, "check", "rules", *map(str, rules)], check=False).returncode == 0
    names = {group["name"] for path in rules for group in yaml.safe_load(path.read_text("utf-8"))["groups"]}
    assert names == {group.name for group in catalogue.rule_groups()}
    boards = {json.loads(path.read_text("utf-8"))["uid"] for path in (folder / "dashboards_out").glob("*.json")}
    assert boards == {dashboard.uid for dashboard in catalogue.dashboards()}
    assert {path.stem for path in (folder / "runbooks").glob("*.md")} == set(catalogue.alert_names())
