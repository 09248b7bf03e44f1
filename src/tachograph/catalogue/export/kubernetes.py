"""For the Prometheus Operator: rules as PrometheusRule, a PodMonitor, and boards as ConfigMaps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tachograph.catalogue.export import grafana, yaml
from tachograph.catalogue.export.prometheus import group_data
from tachograph.catalogue.panels import Dashboard
from tachograph.catalogue.rules import RuleGroup
from tachograph.settings.alerts import AlertsSettings

_MADE = "Made by `tachograph export --kubernetes`."


def manifests(groups: Iterable[RuleGroup], dashboards: Iterable[Dashboard], settings: AlertsSettings) -> dict[str, str]:
    """File name to manifest."""
    job = settings.job.split("|")[0]
    return {
        "prometheusrule.yaml": yaml.dump(_rules(groups), _MADE),
        "podmonitor.yaml": yaml.dump(
            _monitor(job, settings),
            _MADE
            + "\nIt finds pods with the label app.kubernetes.io/name and their port named metrics; the job label is"
            "\nset so that the rules find it.",
        ),
        **{
            f"dashboard-{dashboard.uid.removeprefix('tachograph-')}.yaml": yaml.dump(
                _board(dashboard), _MADE + "\nFor Grafana's sidecar, which looks for the label grafana_dashboard."
            )
            for dashboard in dashboards
        },
    }


def _rules(groups: Iterable[RuleGroup]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tachograph", "labels": {"app.kubernetes.io/part-of": "tachograph"}},
        "spec": {"groups": [group_data(group) for group in groups]},
    }


def _monitor(job: str, settings: AlertsSettings) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": job, "labels": {"app.kubernetes.io/part-of": "tachograph"}},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": job}},
            "podMetricsEndpoints": [
                {
                    "port": "metrics",
                    "path": "/metrics",
                    "interval": f"{settings.scrape_interval}s",
                    "relabelings": [{"targetLabel": "job", "replacement": job}],
                }
            ],
        },
    }


def _board(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": dashboard.uid, "labels": {"grafana_dashboard": "1"}},
        "data": {f"{dashboard.uid}.json": grafana.dashboard_text(dashboard).rstrip("\n")},
    }
