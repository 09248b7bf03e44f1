"""The watchers themselves: scraped, complete, bounded, consistent, evaluated."""

from __future__ import annotations

import re
from typing import Final

from tachograph.catalogue.alerts.parts import OUTLASTS, counted, job, target
from tachograph.catalogue.drill import Counter, Drill, Gauge, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.push import interval
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_OURS: Final = "tachograph_build_info"
_ALL_DAY: Final = 259
"""Of the 288 times five minutes of a day: what was there so long is a service, and not a batch that has ended."""


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Ordered from 'we see nothing' to 'what we see is wrong'; the watchdog last."""
    pulled = (_down(s), _all_down(s), _absent(s), _missing(s), _sparse(s), _cardinality(s))
    return (
        *((_pushes_stopped(), _pushed_too_rarely(s)) if s.profile == "push" else pulled),
        _overflow(),
        _telemetry_errors(),
        _client_unwatched(),
        _inconsistent(),
        _rules_fail(),
        _rules_late(),
        _notifications_failing(),
        _watchdog(),
    )


def _down(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMMonitorTargetDown",
        expression=f"up{{{job(s)}}} == 0",
        hold="8m",
        severity="warning",
        component="telemetry",
        summary="{{ $labels.instance }} cannot be scraped",
        description="Prometheus fails to scrape {{ $labels.instance }}: alerts see nothing of what it does.",
        drill=Drill(series=(Gauge("up", {}, (1, 0, 1)),), within="9m", labels=target(s)),
    )


def _all_down(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMMonitorAllTargetsDown",
        expression=f"max by (FLEET) (up{{{job(s)}}}) == 0",
        hold="8m",
        keep=OUTLASTS,
        severity="critical",
        component="telemetry",
        summary="{{ $labels.job }}: no target can be scraped",
        description="Prometheus can scrape no target of {{ $labels.job }}: it is down, or the network to it is.",
        drill=Drill(series=(Gauge("up", {}, (1, 0, 1)),), within="9m", labels={"job": target(s)["job"]}, after="25m"),
    )


def _absent(s: AlertsSettings) -> Alert:
    names = s.job.split("|")
    literal = all(re.fullmatch(r"[\w./-]+", name) for name in names)
    return Alert(
        name="LLMMonitorAbsent",
        expression="\nor\n".join(f'absent(up{{job="{name}"}})' for name in names)
        if literal
        else f"absent(up{{{job(s)}}})",
        hold="8m",
        severity="critical",
        component="telemetry",
        summary=f"Prometheus has no target of the job {'{{ $labels.job }}' if literal else s.job}",
        description="No target of our scrape job exists: service discovery or the job's name changed.",
        drill=Drill(series=(Gauge("up", {}, (1, None, 1)),), within="9m", labels={"job": names[0]} if literal else {}),
    )


def _pushes_stopped() -> Alert:
    processes = "fleet:tachograph_processes:count"
    return Alert(
        name="LLMMonitorPushStopped",
        expression=(
            f"count by (FLEET) (count_over_time({_OURS}[1d]))\n"
            f"unless on (FLEET)\n{processes}\n"
            "and on (FLEET)\n"
            f"(count_over_time({processes}[1d:5m]) >= {_ALL_DAY} or count_over_time({processes}[1d:5m] offset 12h)"
            f" >= {_ALL_DAY})"
        ),
        hold="6m",
        keep=OUTLASTS,
        severity="critical",
        component="telemetry",
        summary="{{ $labels.job }}: no metrics arrive any more",
        description=(
            '{{ $labels.job }} pushed metrics all day, from {{ $value | printf "%.0f" }} processes, and none arrives '
            "now: the application is down, or the collector is."
        ),
        drill=Drill(
            series=(Gauge(_OURS, {"version": "1"}, (1, None, 1)),),
            within="10m",
            quiet="26h",
            trouble="40m",
            after="25m",
            step="1m",
        ),
    )


def _pushed_too_rarely(s: AlertsSettings) -> Alert:
    expected = 600 / interval(s)
    return Alert(
        name="LLMMonitorPushTooSparse",
        expression=f"count_over_time({_OURS}[10m]) < {number(expected * 0.7)}\nand {_OURS}\nand {_OURS} offset 10m",
        hold="5m",
        severity="warning",
        component="telemetry",
        summary="{{ $labels.instance }} pushes metrics less often than the rules expect",
        description=(
            f"Only {{{{ $value }}}} pushes in 10m, where {number(expected)} are expected: rules that look at a few "
            "minutes are late or silent. OTEL_METRIC_EXPORT_INTERVAL is not what the rules were exported with, or "
            "pushes fail."
        ),
        drill=Drill(
            series=(Gauge(_OURS, {"version": "1"}, (1, 1, 1), keep=2),),
            within="15m",
            labels=target(s),
            quiet="25m",
            trouble="25m",
            after="20m",
        ),
    )


def _missing(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMMonitorMetricsMissing",
        expression=f"up{{{job(s)}}} == 1 unless on (TARGET) {_OURS}",
        hold="10m",
        severity="warning",
        component="telemetry",
        summary="{{ $labels.instance }} is up but exports none of our metrics",
        description=(
            f"{{{{ $labels.instance }}}} answers scrapes without {_OURS}: Tachograph is not configured there, its "
            "metrics are off, or the job scrapes a wrong port or path."
        ),
        drill=Drill(
            series=(Gauge("up", {}, (1, 1, 1)), Gauge(_OURS, {"version": "1"}, (1, None, 1))),
            within="11m",
            labels=target(s),
        ),
    )


def _sparse(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMMonitorScrapeTooSparse",
        expression=f"count_over_time(up{{{job(s)}}}[5m]) < 14 and up{{{job(s)}}} offset 5m",
        hold="10m",
        severity="warning",
        component="telemetry",
        summary="{{ $labels.instance }} is scraped too rarely for HighProviderCost",
        description=(
            'Only {{ $value | printf "%.0f" }} scrapes in 5m. HighProviderCost looks at 1m and needs one every 20s or '
            "less (15s is advised); with 60s it can never fire."
        ),
        drill=Drill(
            series=(Gauge("up", {}, (1, 1, 1), keep=4),), within="14m", labels=target(s), trouble="20m", after="20m"
        ),
    )


def _cardinality(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMMonitorCardinalityHigh",
        expression=f"scrape_samples_post_metric_relabeling{{{job(s)}}} > {s.series_per_target}",
        hold="10m",
        severity="warning",
        component="telemetry",
        summary='{{ $labels.instance }} exports {{ $value | printf "%.0f" }} series',
        description=(
            '{{ $labels.instance }} exports {{ $value | printf "%.0f" }} samples per scrape: a label from outside '
            "(model, tool or server) grows without need, and Prometheus pays for it."
        ),
        drill=Drill(
            series=(
                Gauge(
                    "scrape_samples_post_metric_relabeling",
                    {},
                    (s.series_per_target / 10, s.series_per_target * 2, s.series_per_target / 10),
                ),
            ),
            within="11m",
            labels=target(s),
        ),
    )


def _overflow() -> Alert:
    return Alert(
        name="LLMMonitorMetricOverflow",
        expression=counted("tachograph_label_overflow_total", "WHERE, family, label", window="15m", at_least="> 0"),
        hold="5m",
        severity="warning",
        component="telemetry",
        summary="{{ $labels.family }}: values of the label {{ $labels.label }} run over",
        description=(
            '{{ $value | printf "%.0f" }} samples of {{ $labels.family }} in 15m were counted as other because the '
            "label {{ $labels.label }} has too many values: alerts and panels by that label no longer see them apart."
        ),
        drill=Drill(
            series=(
                Counter(
                    "tachograph_label_overflow_total",
                    {"family": "llm_provider_tokens_total", "label": "model"},
                    (None, 0.2, 0),
                ),
            ),
            within="6m30s",
            labels={"family": "llm_provider_tokens_total", "label": "model"},
            quiet="20m",
            after="25m",
        ),
    )


def _telemetry_errors() -> Alert:
    return Alert(
        name="LLMTelemetryErrors",
        expression="sum by (WHERE, component) (increase(tachograph_telemetry_errors_total[15m])) > 0",
        hold="0s",
        severity="warning",
        component="telemetry",
        summary='Tachograph itself failed {{ $value | printf "%.0f" }} times',
        description=(
            '{{ $value | printf "%.0f" }} failures of Tachograph\'s own in 15m were logged and dropped so that the '
            "application's calls went on: some calls are missing from metrics, spans or the ledger."
        ),
        drill=Drill(
            series=(Counter("tachograph_telemetry_errors_total", {"component": "pricing"}, (0, 0.05, 0)),),
            within="1m30s",
        ),
    )


def _client_unwatched() -> Alert:
    return Alert(
        name="LLMClientUnwatched",
        expression="max by (WHERE, library) (tachograph_unwatched_client) == 1",
        hold="15m",
        severity="warning",
        component="telemetry",
        summary="{{ $labels.job }}: calls through {{ $labels.library }} are not seen",
        description=(
            "{{ $labels.library }} is imported in {{ $labels.job }} and is not watched: its calls are missing from "
            "metrics, spans, cost and budgets."
        ),
        drill=Drill(
            series=(Gauge("tachograph_unwatched_client", {"library": "cohere"}, (0, 1, 0)),),
            within="16m",
            labels={"library": "cohere"},
            trouble="25m",
        ),
    )


def _inconsistent() -> Alert:
    model = {"provider": "openai", "model": "gpt-5"}

    def mean(what: str) -> str:
        return f"avg_over_time(provider:llm_provider_{what}:rate5m[15m])"

    requests = mean("requests")
    return Alert(
        name="LLMTelemetryInconsistent",
        expression=(
            f"abs(({mean('errors')} or 0 * {requests}) - ({mean('request_failures')} or 0 * {requests}))\n"
            "/\n"
            f"({requests} > 0)\n"
            "> 0.05"
        ),
        hold="15m",
        severity="info",
        component="telemetry",
        summary="{{ $labels.provider }}: error counter and outcomes disagree",
        description=(
            "llm_provider_errors_total and the failed outcomes of llm_provider_request_seconds differ by "
            + SHARE
            + " of requests: something counts one without the other, and ratios mislead."
        ),
        drill=Drill(
            series=(
                Histogram(
                    "llm_provider_request_seconds",
                    {**model, "outcome": "success"},
                    ({1.0: 0.8}, {1.0: 0.6}, {1.0: 0.8}),
                ),
                Histogram(
                    "llm_provider_request_seconds",
                    {**model, "outcome": "error"},
                    ({1.0: 0.0}, {1.0: 0.2}, {1.0: 0.0}),
                ),
                Histogram(
                    "llm_provider_request_seconds",
                    {**model, "outcome": "cancelled"},
                    ({1.0: 0.2}, {1.0: 0.2}, {1.0: 0.2}),
                ),
            ),
            within="22m",
            labels={"provider": "openai"},
            quiet="20m",
            trouble="30m",
            after="30m",
        ),
    )


def _rules_fail() -> Alert:
    return Alert(
        name="LLMRuleEvaluationFailing",
        expression=(
            "sum by (rule_group) (increase("
            'prometheus_rule_evaluation_failures_total{rule_group=~".*;(llm|mcp)_.*"}[10m])) > 0'
        ),
        hold="5m",
        severity="critical",
        component="telemetry",
        summary="Rules of {{ $labels.rule_group }} fail to evaluate",
        description=(
            '{{ $value | printf "%.0f" }} evaluations of rules failed in 10m: alerts of this group may be silent. '
            "Prometheus must scrape itself for this alert."
        ),
        drill=Drill(
            series=(
                Counter(
                    "prometheus_rule_evaluation_failures_total",
                    {"rule_group": "/etc/prometheus/rules/tachograph.yaml;llm_cost"},
                    (0, 0.03, 0),
                ),
            ),
            within="6m30s",
            labels={"rule_group": "/etc/prometheus/rules/tachograph.yaml;llm_cost"},
        ),
    )


def _rules_late() -> Alert:
    return Alert(
        name="LLMRuleEvaluationMissed",
        expression=(
            "sum by (rule_group) (increase("
            'prometheus_rule_group_iterations_missed_total{rule_group=~".*;(llm|mcp)_.*"}[10m])) > 0'
        ),
        hold="5m",
        severity="warning",
        component="telemetry",
        summary="Rules of {{ $labels.rule_group }} are evaluated too slowly",
        description=(
            '{{ $value | printf "%.0f" }} evaluations were left out in 10m because the one before took longer than '
            "the interval: alerts of this group are late. Prometheus must scrape itself for this alert."
        ),
        drill=Drill(
            series=(
                Counter(
                    "prometheus_rule_group_iterations_missed_total",
                    {"rule_group": "/etc/prometheus/rules/tachograph.yaml;llm_cost"},
                    (0, 0.03, 0),
                ),
            ),
            within="6m30s",
            labels={"rule_group": "/etc/prometheus/rules/tachograph.yaml;llm_cost"},
        ),
    )


def _notifications_failing() -> Alert:
    return Alert(
        name="LLMNotificationsFailing",
        expression="max by (WHERE, receiver) (tachograph_notification_failing_seconds) > 300",
        hold="1m",
        severity="warning",
        component="telemetry",
        summary="The receiver {{ $labels.receiver }} accepts no notifications",
        description=(
            "The console has been unable to deliver notifications to {{ $labels.receiver }} for "
            "{{ $value | humanizeDuration }}: its people get no alerts. The other receivers work."
        ),
        drill=Drill(
            series=(
                Gauge("tachograph_notification_failing_seconds", {"receiver": "on-call"}, (0, 1, 0), slope=(0, 1, 0)),
            ),
            within="7m",
            labels={"receiver": "on-call"},
        ),
    )


def _watchdog() -> Alert:
    return Alert(
        name="LLMMonitorWatchdog",
        expression="vector(1)",
        hold="0s",
        severity="none",
        component="telemetry",
        summary="Always firing: proves the alert path end to end",
        description="Route it to a dead man's switch that pages when this alert stops arriving.",
        drill=Drill(series=(), within="0s", always=True),
    )
