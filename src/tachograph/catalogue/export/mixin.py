"""The layout that a monitoring mixin has once it is rendered, so that its tools find everything without Jsonnet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tachograph.catalogue import runbook_pages
from tachograph.catalogue.export import grafana, prometheus
from tachograph.catalogue.panels import Dashboard
from tachograph.catalogue.rules import RecordingRule, RuleGroup

_README = """# Tachograph's mixin

Made by `tachograph export --mixin`; there is no Jsonnet behind it. Change the settings and export again.

| file | what |
|---|---|
| `prometheus_alerts.yaml` | alerting rules |
| `prometheus_rules.yaml` | recording rules that they read |
| `dashboards_out/*.json` | Grafana dashboards |
| `runbooks/*.md` | one page for each alert |
"""


def files(groups: Sequence[RuleGroup], dashboards: Iterable[Dashboard]) -> dict[str, str]:
    """File name to text."""
    recording = [group for group in groups if all(isinstance(rule, RecordingRule) for rule in group.rules)]
    alerts = [group for group in groups if group not in recording]
    names = dict.fromkeys(alert.name for group in groups for alert in group.alerts)
    return {
        "README.md": _README,
        "prometheus_alerts.yaml": prometheus.rules_text(alerts),
        "prometheus_rules.yaml": prometheus.rules_text(recording),
        **{f"dashboards_out/{one.uid}.json": grafana.dashboard_text(one) for one in dashboards},
        **{f"runbooks/{name}.md": runbook_pages.page(name, groups) for name in names},
    }
