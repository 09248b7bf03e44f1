"""Money and tokens: too much, unusually much, or not counted."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.alerts.parts import counted
from tachograph.catalogue.drill import Counter, Drill, Gauge, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_MODEL: Final = {"provider": "openai", "model": "gpt-5"}
_PROVIDER: Final = {"provider": "openai"}
_ANSWERED: Final = "provider_model:llm_calls_answered:rate15m"


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Totals, budgets, anomalies, and calls without a price."""
    return (
        _tokens_total(s),
        _cost_total(s),
        _forecast(s),
        _spent(s),
        _step_passed(),
        _anomaly(s),
        _no_baseline(),
        _token_spike(s),
        _unpriced(),
        _usage_missing(s),
        _usage_mismatch(s),
    )


def _cost(per_second: tuple[float, float, float], model: str = "gpt-5") -> Counter:
    return Counter("llm_provider_cost_usd_total", {"provider": "openai", "model": model}, per_second)


def _tokens_total(s: AlertsSettings) -> Alert:
    part = s.tokens_per_second * 0.8
    return Alert(
        name="LLMTokenUsageTotalExcessive",
        expression=f"sum by (WHERE, provider) (rate(llm_provider_tokens_total[5m])) > {number(s.tokens_per_second)}",
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary='{{ $labels.provider }}: {{ $value | printf "%.0f" }} tokens/s in total',
        description=(
            'All models and instances together use {{ $value | printf "%.0f" }} tokens/s on {{ $labels.provider }}. '
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
        expression=f"sum by (WHERE) (rate(llm_provider_cost_usd_total[15m])) * 3600 > {number(s.cost_usd_per_hour)}",
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


_BUDGET: Final = {"budget": "team", "period": "month"}
_SPENT: Final = "max by (WHERE, budget, period) (llm_budget_spent_usd)"
_LIMIT: Final = "(max by (WHERE, budget, period) (llm_budget_limit_usd) > 0)"


def _forecast(s: AlertsSettings) -> Alert:
    hours = number(s.budget_hours_left)
    return Alert(
        name="LLMBudgetForecast",
        expression=(
            f'min by (WHERE, budget, period) (llm_budget_left_seconds{{bound="likely"}}) / 3600 < {hours}\n'
            f"and\n{_SPENT} < {_LIMIT}\n"
            f"and\n{_SPENT} > 0.2 * {_LIMIT}"
        ),
        hold="15m",
        severity="warning",
        component="llm_provider",
        summary="Budget {{ $labels.budget }} will be spent within " + hours + "h",
        description=(
            "By the forecast of the ledger (mean of the last days, seven at most) the budget {{ $labels.budget }} "
            '({{ $labels.period }}) is spent in {{ $value | printf "%.1f" }} h, before its period ends.'
        ),
        drill=Drill(
            series=(
                Gauge("llm_budget_limit_usd", _BUDGET, (100, 100, 100)),
                Gauge("llm_budget_spent_usd", _BUDGET, (40, 80, 10)),
                Gauge("llm_budget_left_seconds", {**_BUDGET, "bound": "likely"}, (86400, 7200, 86400)),
            ),
            within="16m",
            labels=_BUDGET,
            trouble="20m",
        ),
    )


def _spent(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMBudgetSpent",
        expression=f"{_SPENT} >= {_LIMIT}",
        hold="1m",
        severity="critical",
        component="llm_provider",
        summary='Budget {{ $labels.budget }} is spent: ${{ $value | printf "%.2f" }}',
        description=(
            '${{ $value | printf "%.2f" }} of the budget {{ $labels.budget }} ({{ $labels.period }}) is spent, which '
            "is its limit or more. Where `budgets.guard` is on, calls are refused."
        ),
        drill=Drill(
            series=(
                Gauge("llm_budget_limit_usd", _BUDGET, (100, 100, 100)),
                Gauge("llm_budget_spent_usd", _BUDGET, (90, 101, 0)),
            ),
            within="2m30s",
            labels=_BUDGET,
        ),
    )


def _step_passed() -> Alert:
    return Alert(
        name="LLMBudgetStepPassed",
        expression='sum by (WHERE, budget, step) (increase(llm_budget_steps_total{step!="100"}[15m])) > 0',
        hold="0m",
        severity="info",
        component="llm_provider",
        summary="{{ $labels.step }} % of budget {{ $labels.budget }} are spent",
        description=(
            "Spending passed {{ $labels.step }} % of the budget {{ $labels.budget }} in the last 15m. Steps are "
            "set with `steps` of the budget; LLMBudgetSpent fires at the whole limit."
        ),
        drill=Drill(
            series=(Counter("llm_budget_steps_total", {"budget": "team", "step": "80"}, (0, 0.01, 0)),),
            within="5m",
            labels={"budget": "team", "step": "80"},
            quiet="20m",
            after="25m",
        ),
    )


def _anomaly(s: AlertsSettings) -> Alert:
    hourly = "provider:llm_provider_cost_usd_per_hour:rate1h"
    floor = s.cost_anomaly_floor_usd_per_hour / 3600
    return Alert(
        name="LLMCostAnomaly",
        expression=(
            f"{hourly} > {number(s.cost_anomaly_floor_usd_per_hour)}\nand\n{usual(hourly, s.cost_anomaly_factor)}"
        ),
        hold="10m",
        severity="warning",
        component="llm_provider",
        summary=f"{{{{ $labels.provider }}}} spend is over {number(s.cost_anomaly_factor)}x its usual",
        description=(
            '{{ $labels.provider }} spends ${{ $value | printf "%.2f" }}/hour, more than '
            f"{number(s.cost_anomaly_factor)} times the highest at this hour of the week in the last two weeks."
        ),
        drill=Drill(
            series=(_cost((floor, floor * s.cost_anomaly_factor * 6, floor)),),
            within="1h",
            labels=_PROVIDER,
            quiet="172h",
            trouble="1h30m",
            after="2h",
            step="2m",
        ),
    )


def usual(rate: str, factor: float) -> str:
    """A recorded rate beyond what was seen at this hour of the week, a week ago and two weeks ago.

    Without a week of history nothing comes out: LLMCostBaselineTooShort says so.
    """
    times = number(factor)
    return (
        f"{rate} > {times} * max_over_time({rate}[2h] offset 167h)\n"
        f"unless\n{rate} <= {times} * max_over_time({rate}[2h] offset 335h)"
    )


def _no_baseline() -> Alert:
    hourly = "provider:llm_provider_cost_usd_per_hour:rate1h"
    return Alert(
        name="LLMCostBaselineTooShort",
        expression=f"{hourly} > 0\nunless\nmax_over_time({hourly}[2h] offset 167h) >= 0",
        hold="1h",
        severity="info",
        component="llm_provider",
        summary="{{ $labels.provider }}: less than a week of cost to compare with",
        description=(
            "LLMCostAnomaly and LLMTokenSpike compare with the same hour of last week, and there is no week of history "
            'for {{ $labels.provider }} (${{ $value | printf "%.2f" }}/hour now): until there is, they cannot fire.'
        ),
        drill=Drill(
            series=(_cost((0.0, 0.01, 0.01)),),
            within="1h10m",
            labels=_PROVIDER,
            quiet="10m",
            trouble="2h",
            after="170h",
            step="2m",
        ),
    )


def _token_spike(s: AlertsSettings) -> Alert:
    rate = "provider_model:llm_provider_tokens:rate15m"
    floor = s.token_spike_floor
    return Alert(
        name="LLMTokenSpike",
        expression=(f"{rate} > {number(floor)}\nand\n{usual(rate, s.token_spike_factor)}"),
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary=(
            f"{{{{ $labels.provider }}}}/{{{{ $labels.model }}}}: token use is over "
            f"{number(s.token_spike_factor)}x its usual"
        ),
        description=(
            f'{{{{ $value | printf "%.0f" }}}} tokens/s, over {number(s.token_spike_factor)} times the highest at this '
            "hour of the week in the last two weeks: a runaway agent loop, a bloated prompt or abuse."
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
            quiet="172h",
            trouble="50m",
            after="1h",
            step="2m",
        ),
    )


def _unpriced() -> Alert:
    return Alert(
        name="LLMModelUnpriced",
        expression=counted("llm_calls_unpriced_total", "WHERE, provider, model", window="15m", at_least="> 0"),
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }} has no price",
        description=(
            '{{ $value | printf "%.0f" }} calls in 15m used tokens of {{ $labels.model }}, which is not in the price '
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
    missing = "sum by (WHERE, provider, model) (increase(llm_calls_usage_missing_total[15m]))"
    share = min(0.9, s.usage_missing_share * 4)
    return Alert(
        name="LLMUsageNotReported",
        expression=(f"({missing} >= {s.error_floor}) / 900\n/\n({_ANSWERED} > 0)\n> {number(s.usage_missing_share)}"),
        hold="10m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: calls without token counts",
        description=(
            SHARE + " of calls over 15m brought no usage (streams without it, streams closed "
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


def _usage_mismatch(s: AlertsSettings) -> Alert:
    mismatches = "sum by (WHERE, provider, model, reason) (increase(llm_usage_mismatch_total[15m]))"
    share = min(0.9, s.usage_missing_share * 4)
    return Alert(
        name="LLMUsageMismatch",
        expression=(
            f"({mismatches} >= {s.error_floor}) / 900\n"
            "/ on (WHERE, provider, model) group_left ()\n"
            f"({_ANSWERED} > 0)\n"
            f"> {number(s.usage_missing_share)}"
        ),
        hold="10m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: reported usage contradicts itself ({{ $labels.reason }})",
        description=(
            SHARE + " of calls over 15m brought token counts that contradict each other, or a "
            "stated cost that contradicts the price list: the cost of these calls is an estimate."
        ),
        drill=Drill(
            series=(
                Counter("llm_usage_mismatch_total", {**_MODEL, "reason": "total"}, (0, share, 0)),
                Histogram("llm_call_seconds", {**_MODEL, "outcome": "success"}, ({1.0: 1.0}, {1.0: 1.0}, {1.0: 1.0})),
            ),
            within="17m",
            labels={**_MODEL, "reason": "total"},
            quiet="20m",
            trouble="25m",
            after="25m",
        ),
    )
