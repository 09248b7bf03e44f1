"""The rule groups: the contract's two, then ours."""

from __future__ import annotations

from dataclasses import replace

from tachograph.catalogue import recordings
from tachograph.catalogue.alerts import (
    availability,
    cost,
    latency,
    ledger,
    limits,
    money,
    registry,
    required,
    servers,
    telemetry,
    tools,
)
from tachograph.catalogue.rules import Alert, RuleGroup
from tachograph.errors import SettingsError
from tachograph.llm.metrics.families import REQUEST_SECONDS
from tachograph.mcp.metrics.families import EXECUTE_SECONDS, REGISTRY_LOOKUP_SECONDS
from tachograph.settings.alerts import AlertsSettings
from tachograph.signals.family import Family
from tachograph.usage.metrics.families import PERSIST_SECONDS


def groups(s: AlertsSettings) -> list[RuleGroup]:
    """All rule groups, with runbook links.

    Raises:
        SettingsError: A threshold in seconds is no bucket bound of its histogram, or is the highest one.
    """
    check(s)
    found = [
        RuleGroup("llm_providers", required.llm_rules(s)),
        RuleGroup("mcp_tools", required.mcp_rules(s)),
        RuleGroup("llm_slo_recording", recordings.recordings(s)),
        RuleGroup("llm_availability", (*availability.rules(s), *availability.burn_rules(s))),
        RuleGroup("llm_rate_limits", limits.rules(s)),
        RuleGroup("llm_latency", latency.rules(s)),
        RuleGroup("llm_cost", cost.rules(s)),
        RuleGroup("llm_money", money.rules(s)),
        RuleGroup("mcp_tool_quality", (*tools.rules(s), *tools.burn_rules(s))),
        RuleGroup("mcp_servers", servers.rules(s)),
        RuleGroup("mcp_registry", registry.rules(s)),
        RuleGroup("llm_usage_persist", ledger.rules(s)),
        RuleGroup("llm_telemetry", telemetry.rules(s)),
    ]
    return [
        RuleGroup(
            group.name,
            tuple(_linked(rule, s) if isinstance(rule, Alert) else rule for rule in group.rules),
            group.interval,
        )
        for group in found
    ]


def _linked(alert: Alert, s: AlertsSettings) -> Alert:
    alert = alert.annotated(runbook_url=s.runbook_url + alert.name)
    if not s.keep_firing:
        alert = replace(alert, keep="0s")
    if s.dashboard_url:
        uid = "tachograph-mcp-tools" if alert.component in ("mcp", "factory") else "tachograph-llm-provider"
        alert = alert.annotated(dashboard_url=f"{s.dashboard_url.rstrip('/')}/d/{uid}")
    return alert


def check(s: AlertsSettings) -> None:
    """Refuse thresholds that a histogram cannot answer.

    Between two bounds a histogram only guesses, and above its highest bound it knows nothing.
    """
    for field, value, family in (
        ("latency_seconds", s.latency_seconds, REQUEST_SECONDS),
        ("tool_seconds", s.tool_seconds, EXECUTE_SECONDS),
        ("registry_seconds", s.registry_seconds, REGISTRY_LOOKUP_SECONDS),
        ("persist_seconds", s.persist_seconds, PERSIST_SECONDS),
    ):
        _check_bound(field, value, family)


def _check_bound(field: str, value: float, family: Family) -> None:
    allowed = family.buckets[:-1]
    if value not in allowed:
        raise SettingsError(
            f"{value:g} s is no bucket bound of {family.name} below its highest",
            where=f"setting alerts.{field}",
            do=f"Choose one of: {', '.join(f'{bound:g}' for bound in allowed)}.",
        )
