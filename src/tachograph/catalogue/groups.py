"""The rule groups: the contract's two, then ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from tachograph.catalogue import durations, recordings
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
from tachograph.catalogue.alerts.parts import filled, readable
from tachograph.catalogue.push import pushed_drill
from tachograph.catalogue.rules import EVALUATION_INTERVAL, Alert, RecordingRule, RuleGroup
from tachograph.catalogue.runbook_pages import names_a_vendor
from tachograph.catalogue.vendor_pages import status_template
from tachograph.errors import SettingsError
from tachograph.llm.metrics.families import REQUEST_SECONDS
from tachograph.mcp.metrics.families import EXECUTE_SECONDS, REGISTRY_LOOKUP_SECONDS
from tachograph.settings.alerts import AlertChange, AlertsSettings
from tachograph.signals.family import Family
from tachograph.usage.metrics.families import PERSIST_SECONDS

_RECORDED: Final = {"latency_seconds"}
"""Thresholds that recordings are made with, so no alert can have its own."""

THRESHOLDS: Final = (
    {
        field.name
        for field in msgspec.structs.fields(AlertsSettings)
        if isinstance(field.default, int | float) and not isinstance(field.default, bool)
    }
    - _RECORDED
    - {"scrape_interval", "push_interval"}
)


_ABOUT: Final = ("job", "instance", "provider", "model", "server_id", "tool_name", "error_type")
_OURS: Final = frozenset({"alertname", "severity", "component", "slo", "long", "short", *_ABOUT})
"""Labels that routes, inhibitions and people read; one of the user's must not write over them."""
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def groups(s: AlertsSettings, interval: str = EVALUATION_INTERVAL) -> list[RuleGroup]:
    """All rule groups, with runbook links.

    Args:
        s: Thresholds, objectives, labels.
        interval: How often the rules are evaluated.

    Raises:
        SettingsError: A threshold in seconds is no bucket bound of its histogram, or is the highest one.
    """
    check(s)
    found = _with_changes(s, _made(s))

    made = [
        replace(
            group,
            interval=interval,
            rules=tuple(
                fitted
                for fitted in (_fitted(rule, s, durations.seconds(interval)) for rule in group.rules)
                if fitted is not None
            ),
        )
        for group in found
    ]
    unknown = set(s.change) - {alert.name for group in found for alert in group.alerts}
    if unknown:  # an alert of the other profile is left alone: one set of settings may serve both
        other = msgspec.structs.replace(s, profile="scrape" if s.profile == "push" else "push")
        unknown -= {alert.name for group in _made(other) for alert in group.alerts}
    if unknown:
        raise SettingsError(
            f"there is no alert {', '.join(sorted(unknown))}",
            where="setting alerts.change",
            do="docs/alerts.md lists all alerts.",
        )
    return [group for group in made if group.rules]


def _made(s: AlertsSettings) -> list[RuleGroup]:
    return [
        RuleGroup("llm_providers", required.llm_rules(s)),
        RuleGroup("mcp_tools", required.mcp_rules(s)),
        RuleGroup("llm_slo_recording", recordings.windows(s)),
        RuleGroup("llm_availability", (*recordings.call_rates(s), *availability.rules(s), *availability.burn_rules(s))),
        RuleGroup("llm_rate_limits", limits.rules(s)),
        RuleGroup("llm_latency", latency.rules(s)),
        RuleGroup("llm_cost", cost.rules(s)),
        RuleGroup("llm_money", money.rules(s)),
        RuleGroup("mcp_tool_quality", (*recordings.tool_rates(s), *tools.rules(s), *tools.burn_rules(s))),
        RuleGroup("mcp_servers", servers.rules(s)),
        RuleGroup("mcp_registry", registry.rules(s)),
        RuleGroup("llm_usage_persist", ledger.rules(s)),
        RuleGroup("llm_telemetry", telemetry.rules(s)),
    ]


def _fitted(rule: Alert | RecordingRule, s: AlertsSettings, interval: float) -> Alert | RecordingRule | None:
    """A rule with identity labels, links and what the settings change of it; None: it is dropped."""
    if isinstance(rule, RecordingRule):
        return replace(rule, expression=filled(rule.expression, s, interval))
    change = s.change.get(rule.name, AlertChange())
    if change.drop:
        return None
    alert = replace(
        rule,
        expression=filled(rule.expression, s, interval),
        drill=pushed_drill(rule.drill, s) if s.profile == "push" else rule.drill,
        summary=rule.summary if rule.name in required.NAMES else readable(rule.summary),
        description=readable(rule.description),
        severity=change.severity or rule.severity,
        hold=change.hold or rule.hold,
        more_labels=(*rule.more_labels, *{**s.labels, **change.labels}.items()),
    )
    grouped = re.search(r"\bby \(([^)]*)\)", alert.expression)
    carried = [label for label in s.identity if grouped and label in grouped[1].split(", ")]
    if carried:
        alert = alert.annotated(where=", ".join(f"{label}={{{{ $labels.{label} }}}}" for label in carried))
    return _linked(alert, s)


def _with_changes(s: AlertsSettings, made: list[RuleGroup]) -> list[RuleGroup]:
    """The groups, with those alerts that have thresholds of their own made from these."""
    for name, change in s.change.items():
        if not change.set:
            continue
        wrong = set(change.set) - THRESHOLDS
        if wrong:
            raise SettingsError(
                f"{', '.join(sorted(wrong))} is no threshold of an alert",
                where=f"setting alerts.change.{name}.set",
                do=f"Choose among: {', '.join(sorted(THRESHOLDS))}.",
            )
        own = msgspec.convert({**msgspec.structs.asdict(s), **change.set, "change": {}}, AlertsSettings, strict=False)
        check(own)
        theirs = {(alert.name, alert.more_labels): alert for group in _made(own) for alert in group.alerts}
        made = [
            replace(
                group,
                rules=tuple(
                    theirs.get((rule.name, rule.more_labels), rule)
                    if isinstance(rule, Alert) and rule.name == name
                    else rule
                    for rule in group.rules
                ),
            )
            for group in made
        ]
    return made


def _linked(alert: Alert, s: AlertsSettings) -> Alert:
    alert = alert.annotated(runbook_url=runbook_link(s, alert.name))
    if names_a_vendor(alert):
        alert = alert.annotated(vendor_status=status_template())
    if not s.keep_firing:
        alert = replace(alert, keep="0s")
    if s.dashboard_url:
        uid = "tachograph-mcp-tools" if alert.component in ("mcp", "factory") else "tachograph-llm-provider"
        alert = alert.annotated(dashboard_url=f"{s.dashboard_url.rstrip('/')}/d/{uid}")
    return alert


def runbook_link(s: AlertsSettings, name: str) -> str:
    """The address of an alert's runbook: the setting with the name in the place of `{alert}`, or behind it."""
    return s.runbook_url.replace("{alert}", name) if "{alert}" in s.runbook_url else s.runbook_url + name


def check(s: AlertsSettings) -> None:
    """Refuse thresholds that a histogram cannot answer, and labels that would write over those of the alerts.

    Between two bounds a quantile is interpolated, and above its highest bound a histogram holds no value.
    """
    for field, value, family in (
        ("latency_seconds", s.latency_seconds, REQUEST_SECONDS),
        ("tool_seconds", s.tool_seconds, EXECUTE_SECONDS),
        ("registry_seconds", s.registry_seconds, REGISTRY_LOOKUP_SECONDS),
        ("persist_seconds", s.persist_seconds, PERSIST_SECONDS),
    ):
        _check_bound(field, value, family)
    _check_labels("alerts.labels", s.labels)
    for name, change in s.change.items():
        _check_labels(f"alerts.change.{name}.labels", change.labels)


def _check_labels(where: str, labels: Mapping[str, str]) -> None:
    for label in labels:
        if label in _OURS:
            do = f"It says what an alert is about, as these do: {', '.join(sorted(_OURS))}. Choose another name."
        elif _LABEL_NAME.fullmatch(label):
            continue
        else:
            do = "Use letters, digits and _, and begin with a letter."
        raise SettingsError(f"{label!r} cannot be a label of yours", where=f"setting {where}", do=do)


def _check_bound(field: str, value: float, family: Family) -> None:
    allowed = family.buckets[:-1]
    if value not in allowed:
        raise SettingsError(
            f"{value:g} s is no bucket bound of {family.name} below its highest",
            where=f"setting alerts.{field}",
            do=f"Choose one of: {', '.join(f'{bound:g}' for bound in allowed)}.",
        )
