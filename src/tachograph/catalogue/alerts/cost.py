"""Money and tokens: too much, unusually much, or not counted."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.drill import Counter, Drill, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import Alert
from tachograph.settings.alerts import AlertsSettings

_MODEL: Final = {"provider": "openai", "model": "gpt-5"}
_PROVIDER: Final = {"provider": "openai"}
_DAY: Final = 86_400


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Totals, budgets, anomalies, and what nobody could price."""
    return (
        _tokens_total(s),
        _cost_total(s),
        _forecast(s),
        _day_spent(s),
        _anomaly(s),
        _token_spike(s),
        _unpriced(),
        _usage_missing(s),
    )


def _cost(per_second: tuple[float, float, float], model: str = "gpt-5") -> Counter:
    return Counter("llm_provider_cost_usd_total", {"provider": "openai", "model": model}, per_second)


def _tokens_total(s: AlertsSettings) -> Alert:
    part = s.tokens_per_second * 0.8
    return Alert(
        name="LLMTokenUsageTotalExcessive",
        expression=f"sum by (provider) (rate(llm_provider_tokens_total[5m])) > {number(s.tokens_per_second)}",
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}: {{ $value | humanize }} tokens/s in total",
        description=(
            "All models and instances together use {{ $value | humanize }} tokens/s on {{ $labels.provider }}. "
            "ExcessiveTokenUsage looks at one series at a time and may not see it."
        ),
        drill=Drill(
            series=tuple(
                Counter("llm_provider_tokens_total", {**_MODEL, "type": kind}, (part / 8, part, part / 8))
                for kind in ("prompt", "completion")
            ),
            within="9m30s",
            labels=_PROVIDER,
        ),
    )


def _cost_total(s: AlertsSettings) -> Alert:
    part = s.cost_usd_per_hour / 3600 * 0.9
    return Alert(
        name="LLMCostTotalHigh",
        expression=f"sum(rate(llm_provider_cost_usd_total[15m])) * 3600 > {number(s.cost_usd_per_hour)}",
        hold="5m",
        severity="critical",
        component="llm_provider",
        summary='LLM spend is ${{ $value | printf "%.0f" }}/hour in total',
        description=(
            'All providers together spend ${{ $value | printf "%.2f" }}/hour by the average of 15m, above '
            f"${number(s.cost_usd_per_hour)}/hour. HighProviderCost looks at one model at a time and may not see it."
        ),
        drill=Drill(
            series=(_cost((part / 9, part, part / 9)), _cost((part / 9, part, part / 9), "gpt-5-mini")),
            within="16m",
            quiet="20m",
            trouble="25m",
            after="30m",
        ),
    )


def _forecast(s: AlertsSettings) -> Alert:
    pace = s.daily_budget_usd / _DAY
    return Alert(
        name="LLMCostBudgetForecast",
        expression=(
            f"sum(rate(llm_provider_cost_usd_total[6h])) * {_DAY} > {number(s.daily_budget_usd)}\n"
            "and\n"
            f"sum(rate(llm_provider_cost_usd_total[1h])) * {_DAY} > {number(s.daily_budget_usd)}"
        ),
        hold="15m",
        severity="warning",
        component="llm_provider",
        summary='LLM spend heads for ${{ $value | printf "%.0f" }}/day',
        description=(
            "At the pace of the last 6h, and still at that of the last hour, a day costs "
            f'${{{{ $value | printf "%.0f" }}}}, above the budget of ${number(s.daily_budget_usd)}.'
        ),
        drill=Drill(
            series=(_cost((pace * 0.4, pace * 3, pace * 0.4)),),
            within="2h15m",
            quiet="7h",
            trouble="3h",
            after="3h",
            step="1m",
        ),
    )


def _day_spent(s: AlertsSettings) -> Alert:
    pace = s.daily_budget_usd / _DAY
    return Alert(
        name="LLMCostDailyBudgetSpent",
        expression=f"sum(increase(llm_provider_cost_usd_total[1d])) > {number(s.daily_budget_usd)}",
        hold="5m",
        severity="critical",
        component="llm_provider",
        summary="LLM spend of the last 24h exceeds the daily budget",
        description=(
            f'${{{{ $value | printf "%.2f" }}}} was spent in the last 24h; the budget is ${number(s.daily_budget_usd)}.'
        ),
        drill=Drill(
            series=(_cost((pace * 0.5, pace * 4, 0)),),
            within="5h",
            quiet="26h",
            trouble="6h",
            after="24h",
            step="5m",
        ),
    )


def _anomaly(s: AlertsSettings) -> Alert:
    hourly = "provider:llm_provider_cost_usd_per_hour:rate1h"
    floor = s.cost_anomaly_floor_usd_per_hour / 3600
    return Alert(
        name="LLMCostAnomaly",
        expression=(
            f"{hourly} > {number(s.cost_anomaly_factor)} * avg_over_time({hourly}[1d] offset 1h)\n"
            "and\n"
            f"{hourly} > {number(s.cost_anomaly_floor_usd_per_hour)}\n"
            "and on (provider)\n"
            f"{hourly} offset 6h"
        ),
        hold="10m",
        severity="warning",
        component="llm_provider",
        summary=f"{{{{ $labels.provider }}}} spend is over {number(s.cost_anomaly_factor)}x its usual",
        description=(
            '{{ $labels.provider }} spends ${{ $value | printf "%.2f" }}/hour, more than '
            f"{number(s.cost_anomaly_factor)} times its average of the preceding day. It takes 6h of history to judge."
        ),
        drill=Drill(
            series=(_cost((floor, floor * s.cost_anomaly_factor * 6, floor)),),
            within="1h",
            labels=_PROVIDER,
            quiet="10h",
            trouble="1h15m",
            after="2h",
            step="1m",
        ),
    )


def _token_spike(s: AlertsSettings) -> Alert:
    rate = "provider_model:llm_provider_tokens:rate15m"
    floor = s.token_spike_floor
    return Alert(
        name="LLMTokenSpike",
        expression=(
            f"{rate} > {number(s.token_spike_factor)} * avg_over_time({rate}[1d] offset 30m)\n"
            "and\n"
            f"{rate} > {number(floor)}\n"
            "and on (provider, model)\n"
            f"{rate} offset 6h"
        ),
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary=(
            f"{{{{ $labels.provider }}}}/{{{{ $labels.model }}}}: token use is over "
            f"{number(s.token_spike_factor)}x its usual"
        ),
        description=(
            f"{{{{ $value | humanize }}}} tokens/s, over {number(s.token_spike_factor)} times the average of the "
            "preceding day: a runaway agent loop, a bloated prompt or abuse. It takes 6h of history to judge."
        ),
        drill=Drill(
            series=(
                Counter(
                    "llm_provider_tokens_total",
                    {**_MODEL, "type": "prompt"},
                    (floor / 2, floor * s.token_spike_factor * 2, floor / 2),
                ),
            ),
            within="25m",
            labels=_MODEL,
            quiet="10h",
            trouble="40m",
            after="1h",
            step="1m",
        ),
    )


def _unpriced() -> Alert:
    return Alert(
        name="LLMModelUnpriced",
        expression=(
            "sum by (provider, model) (increase(llm_calls_unpriced_total[15m])) > 0\n"
            "or\n"
            "(\n"
            "  sum by (provider, model) (llm_calls_unpriced_total unless llm_calls_unpriced_total offset 15m) > 0\n"
            "  and on () count(up offset 15m) > 0\n"
            ")"
        ),
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }} has no price",
        description=(
            "{{ $value | humanize }} calls in 15m used tokens of {{ $labels.model }}, which is not in the price "
            "table: their cost is counted as unknown, and every cost alert is blind to them."
        ),
        drill=Drill(
            series=(Counter("llm_calls_unpriced_total", _MODEL, (None, 0.05, 0)),),
            within="6m30s",
            labels=_MODEL,
            quiet="20m",
            after="25m",
        ),
    )


def _usage_missing(s: AlertsSettings) -> Alert:
    missing = "sum by (provider, model) (increase(llm_calls_usage_missing_total[15m]))"
    share = min(0.9, s.usage_missing_share * 4)
    return Alert(
        name="LLMUsageNotReported",
        expression=(
            f"{missing}\n"
            "/\n"
            '(sum by (provider, model) (increase(llm_call_seconds_count{outcome=~"success|cancelled"}[15m])) > 0)\n'
            f"> {number(s.usage_missing_share)}\n"
            "and\n"
            f"{missing} >= {s.error_floor}"
        ),
        hold="10m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: calls without token counts",
        description=(
            "{{ $value | humanizePercentage }} of calls over 15m brought no usage (streams without it, streams closed "
            "early, or a gap in our parser): tokens and cost are counted too low by about that much."
        ),
        drill=Drill(
            series=(
                Counter("llm_calls_usage_missing_total", _MODEL, (0, share, 0)),
                Histogram("llm_call_seconds", {**_MODEL, "outcome": "success"}, ({1.0: 1.0}, {1.0: 1.0}, {1.0: 1.0})),
            ),
            within="17m",
            labels=_MODEL,
            quiet="20m",
            trouble="25m",
            after="25m",
        ),
    )
