"""What to show and what to alert on: one source for Grafana, Prometheus, Alertmanager, the console and the docs.

dashboards(settings)    the dashboards, as data
rule_groups(settings)   the rule groups: alerts and recordings
alert_names()           every alert that has a runbook
runbook(name)           one runbook page, as Markdown
"""

from __future__ import annotations

import os

import msgspec

from tachograph.catalogue.panels import Dashboard
from tachograph.catalogue.rules import RuleGroup
from tachograph.settings import Settings

__all__ = ["alert_names", "dashboards", "rule_groups", "runbook"]


def dashboards(settings: Settings | None = None) -> list[Dashboard]:
    """LLM Provider and MCP Tools."""
    from tachograph.catalogue.boards import llm_provider, mcp_tools

    alerts = (settings or Settings()).alerts
    return [llm_provider.dashboard(alerts), mcp_tools.dashboard(alerts)]


def rule_groups(settings: Settings | None = None) -> list[RuleGroup]:
    """The contract's two groups, then ours.

    Raises:
        SettingsError: A threshold cannot be answered by its histogram.
    """
    from tachograph.catalogue.groups import groups

    return groups(resolved(settings or Settings()).alerts)


def resolved(settings: Settings) -> Settings:
    """Settings whose alert profile is decided: `push` where metrics are pushed over OTLP and none are served."""
    if settings.alerts.profile != "auto":
        return settings
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    pushes = settings.otlp.metrics and settings.metrics.port is None and bool(endpoint)
    alerts = msgspec.structs.replace(settings.alerts, profile="push" if pushes else "scrape")
    return msgspec.structs.replace(settings, alerts=alerts)


def alert_names(settings: Settings | None = None) -> list[str]:
    """The name of every alert, once, in the order of the groups."""
    return list(dict.fromkeys(alert.name for group in rule_groups(settings) for alert in group.alerts))


def runbook(name: str, settings: Settings | None = None) -> str:
    """The runbook of one alert, as Markdown.

    Raises:
        KeyError: No alert has this name.
    """
    from tachograph.catalogue.runbook_pages import page

    return page(name, rule_groups(settings))
