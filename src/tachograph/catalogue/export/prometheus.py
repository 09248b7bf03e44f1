"""Prometheus: rule files, a scrape configuration, and the test file that shows each alert at work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tachograph.catalogue import push
from tachograph.catalogue.export import yaml
from tachograph.catalogue.rules import Alert, RecordingRule, RuleGroup
from tachograph.settings.alerts import AlertsSettings

_MADE = "Made by `tachograph export`. Change the settings (docs/alerts.md) and export again rather than this file."
CONTRACT_GROUPS = ("llm_providers", "mcp_tools")


def rule_files(groups: Iterable[RuleGroup]) -> dict[str, str]:
    """File name to text: the contract's groups, the recordings, and everything else."""
    contract, recording, ours = [], [], []
    for group in groups:
        if group.name in CONTRACT_GROUPS:
            contract.append(group)
        elif all(isinstance(rule, RecordingRule) for rule in group.rules):
            recording.append(group)
        else:
            ours.append(group)
    return {
        "tachograph-required.yaml": rules_text(contract),
        "tachograph-recording.yaml": rules_text(recording),
        "tachograph-alerts.yaml": rules_text(ours),
    }


def rules_text(groups: Iterable[RuleGroup]) -> str:
    return yaml.dump({"groups": [group_data(group) for group in groups]}, _MADE)


def group_data(group: RuleGroup) -> Mapping[str, Any]:
    """One group as Prometheus reads it."""
    return {"name": group.name, "interval": group.interval, "rules": [_rule(rule) for rule in group.rules]}


def _rule(rule: Alert | RecordingRule) -> Mapping[str, Any]:
    if isinstance(rule, RecordingRule):
        return {"record": rule.name, "expr": rule.expression, **({"labels": rule.labels} if rule.labels else {})}
    found: dict[str, Any] = {"alert": rule.name, "expr": rule.expression}
    if rule.hold_seconds:
        found["for"] = rule.hold
    if rule.keep_seconds:
        found["keep_firing_for"] = rule.keep
    return {**found, "labels": rule.labels, "annotations": rule.annotations}


_SCRAPED: Final = """
The application's address is in scrape_configs. Exemplars (the dots that lead to traces) need
Prometheus to be started with --enable-feature=exemplar-storage."""
_PUSHED: Final = """
The application pushes its metrics: start Prometheus with --web.enable-otlp-receiver (Prometheus 3), or with
--enable-feature=otlp-write-receiver (2.47 to 2.55), and set in the application
OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://127.0.0.1:9090/api/v1/otlp/v1/metrics
OTEL_METRIC_EXPORT_INTERVAL={interval}000
OTEL_SERVICE_NAME={job}"""


def scrape_text(settings: AlertsSettings, target: str = "127.0.0.1:9464") -> str:
    """An example prometheus.yml: the application, Prometheus itself, the rules, Alertmanager."""
    jobs = settings.job.split("|")
    pushed = settings.profile == "push"
    storage: dict[str, Any] = {"exemplars": {"max_exemplars": 100_000}}
    if pushed:  # processes and collectors send on their own clocks, and again after an error
        storage["tsdb"] = {"out_of_order_time_window": "10m"}
    return yaml.dump(
        {
            "global": {"scrape_interval": f"{settings.scrape_interval}s", "evaluation_interval": "30s"},
            "rule_files": ["rules/*.yaml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]},
            "storage": storage,
            "scrape_configs": [
                *({"job_name": name, "static_configs": [{"targets": [target]}]} for name in jobs if not pushed),
                {"job_name": "prometheus", "static_configs": [{"targets": ["127.0.0.1:9090"]}]},
            ],
        },
        _MADE + (_PUSHED.format(interval=push.interval(settings), job=jobs[0]) if pushed else _SCRAPED),
    )
