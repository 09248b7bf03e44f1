"""Where our rules differ from the usual ones: a situation in which the usual one is wrong, and ours is right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.rules import recordings_of
from tachograph import catalogue
from tachograph.catalogue.alerts.parts import target
from tachograph.catalogue.drill import Counter, Drill, Gauge, Histogram, Series
from tachograph.catalogue.export.prometheus import rules_text
from tachograph.catalogue.rules import Alert, RuleGroup
from tachograph.drill.rehearse import Rehearsal, rehearse
from tachograph.settings.alerts import AlertsSettings

GROUPS = catalogue.rule_groups()
GPT = {"provider": "openai", "model": "gpt-5"}
REQUESTS = "llm_provider_request_seconds"
ACTIVE = "mcp_server_connections_active"


@dataclass(frozen=True)
class Situation:
    """What goes on, the usual expression, and which of the two fires."""

    what: str
    alert: str
    usual: str
    series: tuple[Series, ...]
    ours_fires: bool = False
    long: str = ""
    drill: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = (("provider", "openai"),)


def steady(name: str, labels: dict[str, str], seconds: float, often: tuple[float, float, float]) -> Histogram:
    return Histogram(name, labels, ({seconds: often[0]}, {seconds: often[1]}, {seconds: often[2]}))


SITUATIONS = (
    Situation(
        "users who stop their answers are no inconsistency",
        "LLMTelemetryInconsistent",
        "abs(sum by (provider) (rate(llm_provider_errors_total[15m]))"
        ' - sum by (provider) (rate(llm_provider_request_seconds_count{outcome!="success"}[15m])))'
        " / (sum by (provider) (rate(llm_provider_request_seconds_count[15m])) > 0) > 0.05",
        (
            steady(REQUESTS, {**GPT, "outcome": "success"}, 1, (1, 0.7, 1)),
            steady(REQUESTS, {**GPT, "outcome": "cancelled"}, 1, (0, 0.3, 0)),
            Counter("llm_provider_errors_total", {**GPT, "error_type": "timeout"}, (0, 0, 0)),
        ),
        drill=(("quiet", "20m"), ("trouble", "40m"), ("after", "20m")),
    ),
    Situation(
        "one call in five without usage is missed by a rule that waits for none to have any",
        "LLMUsageNotReported",
        '(sum by (provider, model) (increase(llm_provider_request_seconds_count{outcome="success"}[15m])) >= 5)'
        " unless (sum by (provider, model) (rate(llm_provider_tokens_total[15m])) > 0)",
        (
            steady(REQUESTS, {**GPT, "outcome": "success"}, 1, (1, 1, 1)),
            steady("llm_call_seconds", {**GPT, "outcome": "success"}, 1, (1, 1, 1)),
            Counter("llm_calls_usage_missing_total", GPT, (0, 0.2, 0)),
            Counter("llm_provider_tokens_total", {**GPT, "type": "prompt"}, (900, 700, 900)),
        ),
        ours_fires=True,
        drill=(("quiet", "20m"), ("trouble", "40m"), ("after", "30m")),
        labels=(("provider", "openai"), ("model", "gpt-5")),
    ),
    Situation(
        "an instance that has not been asked for anything yet is healthy",
        "LLMMonitorMetricsMissing",
        'up{job="tachograph"} == 1 unless on (job, instance) llm_provider_request_seconds_count',
        (Gauge("tachograph_build_info", {"version": "1"}, (1, 1, 1)),),
        labels=(),
        drill=(("trouble", "30m"),),
    ),
    Situation(
        "a connection that was closed because it is not needed is no outage",
        "MCPServerDisconnected",
        f"sum by (server_id) (max_over_time({ACTIVE}[1h])) > 0 unless sum by (server_id) ({ACTIVE}) > 0",
        (
            Gauge(ACTIVE, {"server_id": "git"}, (1, 0, 1)),
            Counter("mcp_server_connections_total", {"server_id": "git", "outcome": "success"}, (0.001, 0, 0.001)),
        ),
        labels=(("server_id", "git"),),
    ),
    Situation(
        "a caller whose requests are all invalid does not mean that the provider is down",
        "LLMProviderDown",
        "(sum by (provider) (increase(llm_provider_request_seconds_count[5m])) >= 3)"
        ' unless (sum by (provider) (increase(llm_provider_request_seconds_count{outcome="success"}[5m])) > 0)',
        (
            steady(REQUESTS, {**GPT, "outcome": "success"}, 1, (0.5, 0, 0.5)),
            steady(REQUESTS, {**GPT, "outcome": "error"}, 0.2, (0, 0.5, 0)),
            Counter("llm_provider_errors_total", {**GPT, "error_type": "invalid_request"}, (0, 0.5, 0)),
        ),
    ),
    Situation(
        "the first hours of a new installation are no anomaly",
        "LLMCostAnomaly",
        "provider:llm_provider_cost_usd_per_hour:rate1h"
        " > 3 * avg_over_time(provider:llm_provider_cost_usd_per_hour:rate1h[1d] offset 1h)"
        " and provider:llm_provider_cost_usd_per_hour:rate1h > 5",
        (Counter("llm_provider_cost_usd_total", GPT, (None, 0.005, 0.005)),),
        drill=(("quiet", "10m"), ("trouble", "4h"), ("after", "1h"), ("step", "1m")),
    ),
    Situation(
        "errors in the first minutes of a new installation are not three bad days",
        "LLMProviderErrorBudgetBurn",
        "provider:llm_call_errors:ratio_rate3d > (1 * 0.01)"
        " and on (job, provider) provider:llm_call_errors:ratio_rate6h > (1 * 0.01)"
        " and on (job, provider) avg_over_time(provider:llm_call_errors:rate5m[3d]) * 259200 >= 5",
        (
            steady("llm_call_seconds", {**GPT, "outcome": "success"}, 1, (0, 1, 1)),
            steady("llm_call_seconds", {**GPT, "outcome": "error"}, 1, (0, 0.02, 0)),
            steady(REQUESTS, {**GPT, "outcome": "success"}, 1, (0, 1, 1)),
            steady(REQUESTS, {**GPT, "outcome": "error"}, 1, (0, 0.02, 0)),
            Counter("llm_provider_errors_total", {**GPT, "error_type": "server_error"}, (0, 0.02, 0)),
        ),
        long="3d",
        drill=(("quiet", "10m"), ("trouble", "5h"), ("after", "1h"), ("step", "2m")),
    ),
    Situation(
        "one model without a price beside the same model with one is seen",
        "LLMModelUnpriced",
        "(sum by (provider, model) (rate(llm_provider_tokens_total[15m])) > 0)"
        " unless (sum by (provider, model) (rate(llm_provider_cost_usd_total[15m])) > 0)",
        (
            Counter("llm_provider_tokens_total", {**GPT, "type": "prompt"}, (900, 900, 900)),
            Counter("llm_provider_cost_usd_total", GPT, (0.01, 0.008, 0.01)),
            Counter("llm_calls_unpriced_total", GPT, (0, 0.2, 0)),
        ),
        ours_fires=True,
        drill=(("quiet", "20m"), ("trouble", "30m"), ("after", "30m")),
        labels=(("provider", "openai"), ("model", "gpt-5")),
    ),
    Situation(
        "a queue that drains slowly but steadily is late only when its oldest record is",
        "LLMUsagePersistLag",
        'sum(llm_usage_persist_queue_size) / sum(rate(llm_usage_persist_seconds_count{outcome="success"}[5m])) > 300',
        (
            Gauge("llm_usage_persist_queue_size", {}, (1, 1, 1)),
            Gauge("llm_usage_persist_oldest_age_seconds", {}, (2, 2, 2)),
            steady("llm_usage_persist_seconds", {"outcome": "success"}, 0.01, (1, 0.002, 1)),
        ),
        labels=(),
        drill=(("trouble", "30m"),),
    ),
)


def play(alert: Alert, situation: Situation, tmp_path: Path) -> Rehearsal:
    labels = dict(situation.labels)
    if not labels and "on (job, instance)" in alert.expression:
        labels = target(AlertsSettings())
    drill = replace(Drill(series=situation.series, within="1h", labels=labels), **dict(situation.drill))
    alert = replace(alert, drill=drill)
    recordings = recordings_of(alert, GROUPS)
    path = tmp_path / "rules.yaml"
    path.write_text(rules_text([RuleGroup("recordings", recordings), RuleGroup("alerts", (alert,))]), "utf-8")
    return rehearse(alert, [path], target(AlertsSettings()))


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.what)
def test_ours_is_right_where_the_usual_one_is_wrong(situation: Situation, tmp_path: Path, promtool: str) -> None:
    ours = next(
        alert
        for group in GROUPS
        for alert in group.alerts
        if alert.name == situation.alert and dict(alert.more_labels).get("long", "") == situation.long
    )
    usual = replace(ours, expression=situation.usual)
    assert (play(ours, situation, tmp_path).firing is not None) is situation.ours_fires
    assert (play(usual, situation, tmp_path).firing is not None) is not situation.ours_fires
