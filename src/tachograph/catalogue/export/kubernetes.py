"""For the Prometheus Operator: rules as PrometheusRule, a PodMonitor, and boards as ConfigMaps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tachograph.catalogue.export import grafana, yaml
from tachograph.catalogue.export.prometheus import group_data
from tachograph.catalogue.panels import Dashboard
from tachograph.catalogue.rules import RuleGroup
from tachograph.errors import SettingsError
from tachograph.settings.alerts import AlertsSettings

_MADE = "Made by `tachograph export --kubernetes`."


def manifests(
    groups: Iterable[RuleGroup],
    dashboards: Iterable[Dashboard],
    settings: AlertsSettings,
    *,
    namespaces: tuple[str, ...] = (),
) -> dict[str, str]:
    """File name to manifest. There is no PodMonitor where metrics are pushed.

    Args:
        groups: The rules.
        dashboards: The boards.
        settings: Jobs and scrape interval.
        namespaces: Where the application's pods are; empty: any namespace.

    Raises:
        SettingsError: A job's name cannot be a label of a pod.
    """
    jobs = settings.job.split("|") if settings.profile != "push" else []
    return {
        "prometheusrule.yaml": yaml.dump(_rules(groups), _MADE),
        **{
            f"podmonitor-{job}.yaml" if number else "podmonitor.yaml": yaml.dump(
                _monitor(job, settings, namespaces),
                _MADE
                + f"\nIt finds pods with the label app.kubernetes.io/name: {job} and their port named metrics, in "
                + (f"the namespace\n{', '.join(namespaces)}" if namespaces else "any namespace")
                + "; the job label is set so that the rules find it.",
            )
            for number, job in enumerate(jobs)
        },
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


def _monitor(job: str, settings: AlertsSettings, namespaces: tuple[str, ...]) -> dict[str, Any]:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", job):
        raise SettingsError(
            f"{job!r} can be the name of no PodMonitor",
            where="setting alerts.job",
            do="Use lower-case letters, digits, - and ., several names joined by |.",
        )
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": job, "labels": {"app.kubernetes.io/part-of": "tachograph"}},
        "spec": {
            # Without a selector the Operator looks only in the namespace that this manifest is applied to.
            "namespaceSelector": {"matchNames": list(namespaces)} if namespaces else {"any": True},
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
