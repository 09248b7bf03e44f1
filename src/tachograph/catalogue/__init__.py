"""What to show and what to alert on: one source for Grafana, Prometheus, Alertmanager, the console and the docs.

dashboards(settings)    the dashboards, as data
rule_groups(settings)   the rule groups: alerts and recordings
alert_names()           every alert that has a runbook
runbook(name)           one runbook page, as Markdown
"""

from __future__ import annotations

import os
import pkgutil
import re
from importlib import import_module

import msgspec

from tachograph.catalogue.panels import Dashboard
from tachograph.catalogue.rules import EVALUATION_INTERVAL, RuleGroup
from tachograph.errors import SettingsError
from tachograph.settings import Settings
from tachograph.signals.otlp import is_wanted

__all__ = ["alert_names", "dashboards", "rule_groups", "runbook"]

FIRST = ("llm_provider", "mcp_tools")


def dashboards(settings: Settings | None = None) -> list[Dashboard]:
    """One for each file of `boards/` that has a function `dashboard`: LLM Provider and MCP Tools first."""
    from tachograph.catalogue import boards

    alerts = (settings or Settings()).alerts
    names = [found.name for found in pkgutil.iter_modules(boards.__path__)]
    found = [import_module(f"{boards.__name__}.{name}") for name in sorted(names, key=lambda n: (n not in FIRST, n))]
    return [module.dashboard(alerts) for module in found if hasattr(module, "dashboard")]


def rule_groups(settings: Settings | None = None, interval: str = EVALUATION_INTERVAL) -> list[RuleGroup]:
    """The contract's two groups, then ours.

    Args:
        settings: Thresholds, objectives, labels.
        interval: How often the rules are evaluated; counts over long windows depend on it.

    Raises:
        SettingsError: A threshold cannot be answered by its histogram.
    """
    from tachograph.catalogue.groups import groups

    return groups(resolved(settings or Settings()).alerts, interval)


def resolved(settings: Settings) -> Settings:
    """Settings with the alert profile decided, and for `push` the interval.

    The profile is `push` where metrics are pushed over OTLP and none are served.

    Raises:
        SettingsError: Metrics are pushed too seldom for rules to be evaluated.
    """
    alerts = settings.alerts
    if alerts.profile == "auto":
        pushes = settings.otlp.metrics and settings.metrics.port is None and is_wanted("metrics")
        alerts = msgspec.structs.replace(alerts, profile="push" if pushes else "scrape")
    if alerts.profile == "push" and alerts.push_interval is None:
        alerts = msgspec.structs.replace(alerts, push_interval=_push_interval())
    return msgspec.structs.replace(settings, alerts=alerts)


def _push_interval() -> int:
    """Seconds between two pushes, as OpenTelemetry's variable says it."""
    milliseconds = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip() or "60000"
    if not re.fullmatch(r"\d+", milliseconds) or not 0 < int(milliseconds) <= 60_000:
        raise SettingsError(
            f"alerts cannot be made for metrics that are pushed every {milliseconds!r} ms",
            where="environment variable OTEL_METRIC_EXPORT_INTERVAL",
            do="Push every 60000 ms or more often; 15000 is advised. Or set alerts.push_interval to what is true.",
        )
    return max(1, round(int(milliseconds) / 1000))


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
