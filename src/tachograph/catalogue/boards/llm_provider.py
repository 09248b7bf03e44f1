"""The dashboard LLM Provider: the required panels above (docs/contract.md), further rows folded below."""

from __future__ import annotations

from tachograph.catalogue.alerts.parts import CALLERS_FAULT
from tachograph.catalogue.boards.common import (
    ERROR_COLORS,
    LLM_UID,
    MCP_UID,
    MODEL,
    OUTCOME_COLORS,
    PROVIDER,
    TARGET,
    marks,
    most,
    row,
    steps,
    variables,
)
from tachograph.catalogue.durations import number
from tachograph.catalogue.panels import Dashboard, Link, Measure, Panel, PanelQuery, PanelRow, Top, Variable
from tachograph.settings.alerts import AlertsSettings

_COUNT = "llm_provider_request_seconds_count"
_ALL = "sum by (provider, model)"
_CALLS = "llm_call_seconds_count"
_BUDGETS = (
    f"max by (budget, period) (llm_budget_spent_usd{{{TARGET}}})"
    f" / max by (budget, period) (llm_budget_limit_usd{{{TARGET}}})"
)


def _most(family: str, matchers: str = "") -> Top:
    """The models with the most of this."""
    return most(f"{family}{{{MODEL}{matchers}}}", "provider", "model")


def dashboard(settings: AlertsSettings) -> Dashboard:
    """Latency, tokens and cost, errors and rate limits; below: traffic, money, waits, usage ledger."""
    return Dashboard(
        uid=LLM_UID,
        title="LLM Provider",
        description="Requests to OpenAI, Anthropic and Gemini: latency, tokens, cost, errors and rate limits.",
        tags=("tachograph", "llm"),
        variables=variables(
            Variable(name="provider", label="Provider", metric=_COUNT, matchers='job=~"$job",instance=~"$instance"'),
            Variable(name="model", label="Model", metric=_COUNT, matchers=PROVIDER),
            Variable(
                name="outcome",
                label="Outcome (latency)",
                options=("success", "error", "timeout", "rate_limited", "cancelled"),
                default="success",
            ),
        ),
        rows=(
            _latency(settings),
            _usage(settings),
            _errors(),
            _calls(),
            _traffic(),
            _money(settings),
            _waits(),
            _ledger(settings),
        ),
        annotations=marks("llm_provider|usage|telemetry"),
        links=(Link("MCP Tools", uid=MCP_UID), Link("Runbooks", url=settings.runbook_url)),
    )


def _latency(settings: AlertsSettings) -> PanelRow:
    return row(
        "Latency",
        Panel(
            title="Request latency p95 by model",
            description=(
                "95 of 100 requests (attempts on the wire) were at least this fast. A flat line at 120 s means "
                "more: it is the highest bucket. The line is the objective. Dots are single requests: click one "
                "to see its trace."
            ),
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        "histogram_quantile(0.95, sum by (le, provider, model) (rate("
                        f'llm_provider_request_seconds_bucket{{{MODEL},outcome=~"$outcome"}}[$__rate_interval])))'
                    ),
                    measure=Measure(
                        of="requests",
                        stat="p95",
                        value="duration",
                        by=("provider", "model"),
                        where=(("outcome", "$outcome"),),
                    ),
                    legend="{{provider}}/{{model}}",
                    exemplars=True,
                    top=_most("llm_provider_request_seconds_sum"),
                ),
            ),
            width=24,
            height=9,
            thresholds=steps((None, "transparent"), (settings.latency_seconds, "orange")),
            required=True,
        ),
    )


def _usage(settings: AlertsSettings) -> PanelRow:
    return row(
        "Usage and cost",
        Panel(
            title="Token usage rate",
            description=(
                "Tokens per second. Prompt includes cached tokens, completion includes reasoning, "
                "whatever the provider's own wire format counts where."
            ),
            unit="short",
            queries=(
                PanelQuery(
                    expression=(
                        f"sum by (provider, model, type) (rate(llm_provider_tokens_total{{{MODEL}}}[$__rate_interval]))"
                    ),
                    measure=Measure(of="calls", stat="rate", value="tokens", by=("provider", "model", "type")),
                    legend="{{provider}}/{{model}} {{type}}",
                    top=_most("llm_provider_tokens_total"),
                ),
            ),
            stacked=True,
            required=True,
        ),
        Panel(
            title="Estimated cost per hour",
            description=(
                "What an hour costs at the pace of the last 15 minutes, by the price table. Calls of models "
                "without a price are not in it: see 'Unpriced and missing usage' below."
            ),
            kind="stat",
            unit="currencyUSD",
            queries=(
                PanelQuery(
                    expression=f"sum(rate(llm_provider_cost_usd_total{{{MODEL}}}[15m])) * 3600",
                    measure=Measure(of="calls", stat="rate", value="cost", scale=3600, window_seconds=900),
                    legend="per hour",
                ),
            ),
            trend=True,
            thresholds=steps(
                (None, "green"), (settings.cost_usd_per_hour / 2, "yellow"), (settings.cost_usd_per_hour, "red")
            ),
            required=True,
        ),
    )


def _errors() -> PanelRow:
    return row(
        "Errors and rate limits",
        Panel(
            title="Error rate by type",
            description=(
                "Failed requests (attempts) per second. auth and quota need a person, server_error, timeout and "
                "connection are the provider's or the network's, rate_limit is ours to slow down, "
                "invalid_request is the caller's."
            ),
            unit="cps",
            queries=(
                PanelQuery(
                    expression=(f"sum by (error_type) (rate(llm_provider_errors_total{{{MODEL}}}[$__rate_interval]))"),
                    measure=Measure(of="requests", stat="rate", by=("error_type",), where=(("error_type", "!"),)),
                    legend="{{error_type}}",
                ),
            ),
            stacked=True,
            bars=True,
            colors=ERROR_COLORS,
            required=True,
        ),
        Panel(
            title="Rate-limit events",
            description="Requests refused with a rate limit, by model, along time: yellow a few, red many.",
            kind="state-timeline",
            unit="short",
            queries=(
                PanelQuery(
                    expression=(
                        f"{_ALL} (increase(llm_provider_errors_total"
                        f'{{{MODEL},error_type="rate_limit"}}[$__rate_interval]))'
                    ),
                    measure=Measure(
                        of="requests", stat="events", by=("provider", "model"), where=(("error_type", "rate_limit"),)
                    ),
                    legend="{{provider}}/{{model}}",
                    top=_most("llm_provider_errors_total", ',error_type="rate_limit"'),
                ),
            ),
            thresholds=steps((None, "green"), (0.5, "yellow"), (10, "red")),
            required=True,
        ),
    )


def _calls() -> PanelRow:
    return row(
        "Calls",
        Panel(
            title="Success ratio",
            description=(
                "Share of calls that succeeded, retries included: what users meet. Those that the caller "
                "cancelled are left out."
            ),
            kind="stat",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=(
                        f'sum(rate({_CALLS}{{{MODEL},outcome="success"}}[15m]))'
                        f' / (sum(rate({_CALLS}{{{MODEL},outcome!="cancelled"}}[15m])) > 0)'
                    ),
                    measure=Measure(
                        of="calls", stat="mean", value="success", where=(("outcome", "!cancelled"),), window_seconds=900
                    ),
                    legend="success",
                ),
            ),
            width=4,
            trend=True,
            thresholds=steps((None, "red"), (0.95, "yellow"), (0.99, "green")),
        ),
        Panel(
            title="Calls by outcome",
            description="Calls per second, each with all its attempts. cancelled is the caller's choice.",
            unit="ops",
            queries=(
                PanelQuery(
                    expression=f"sum by (outcome) (rate({_CALLS}{{{MODEL}}}[$__rate_interval]))",
                    measure=Measure(of="calls", stat="rate", by=("outcome",)),
                    legend="{{outcome}}",
                ),
            ),
            width=10,
            stacked=True,
            colors=OUTCOME_COLORS,
        ),
        Panel(
            title="Call latency p95 by model",
            description="What the application waited: a call with all its attempts and the sleeps between them.",
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        "histogram_quantile(0.95, sum by (le, provider, model) (rate("
                        f'llm_call_seconds_bucket{{{MODEL},outcome=~"$outcome"}}[$__rate_interval])))'
                    ),
                    measure=Measure(
                        of="calls",
                        stat="p95",
                        value="duration",
                        by=("provider", "model"),
                        where=(("outcome", "$outcome"),),
                    ),
                    legend="{{provider}}/{{model}}",
                    exemplars=True,
                    top=_most("llm_call_seconds_sum"),
                ),
            ),
            width=10,
        ),
    )


def _traffic() -> PanelRow:
    return row(
        "Traffic",
        Panel(
            title="Request rate by outcome",
            description="Requests (attempts) per second. cancelled is the caller's choice, never an error.",
            unit="reqps",
            queries=(
                PanelQuery(
                    expression=f"sum by (outcome) (rate({_COUNT}{{{MODEL}}}[$__rate_interval]))",
                    measure=Measure(of="requests", stat="rate", by=("outcome",)),
                    legend="{{outcome}}",
                ),
            ),
            stacked=True,
            colors=OUTCOME_COLORS,
        ),
        Panel(
            title="Time to first token p95",
            description="Streamed calls: from asking to the first content, waits and retries included.",
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        "histogram_quantile(0.95, sum by (le, provider, model) (rate("
                        f"llm_call_time_to_first_token_seconds_bucket{{{MODEL}}}[$__rate_interval])))"
                    ),
                    measure=Measure(of="calls", stat="p95", value="first_token", by=("provider", "model")),
                    legend="{{provider}}/{{model}}",
                    exemplars=True,
                    top=_most("llm_call_time_to_first_token_seconds_sum"),
                ),
            ),
            width=8,
        ),
        Panel(
            title="Latency distribution",
            description="How many requests fell into each bucket. Two bands are two kinds of work.",
            kind="heatmap",
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        f"sum by (le) (increase(llm_provider_request_seconds_bucket{{{MODEL}}}[$__rate_interval]))"
                    ),
                    measure=Measure(of="requests", stat="buckets", value="duration"),
                    legend="{{le}}",
                    buckets=True,
                ),
            ),
        ),
        folded=True,
    )


def _money(settings: AlertsSettings) -> PanelRow:
    allowed = number(1 - settings.availability_objective)
    calls = f'sum by (provider) (increase({_CALLS}{{{MODEL},outcome!="cancelled"}}[$__range]))'
    failed = f'sum by (provider) (increase({_CALLS}{{{MODEL},outcome=~"error|timeout|rate_limited"}}[$__range]))'
    refused = (
        f'sum by (provider) (increase(llm_provider_errors_total{{{MODEL},error_type=~"{CALLERS_FAULT}"}}[$__range]))'
    )
    return row(
        "Tokens and money",
        Panel(
            title="Cost per hour by model",
            description="Where the money goes, stacked. The line is the budget of an hour.",
            unit="currencyUSD",
            queries=(
                PanelQuery(
                    expression=f"{_ALL} (rate(llm_provider_cost_usd_total{{{MODEL}}}[$__rate_interval])) * 3600",
                    measure=Measure(of="calls", stat="rate", value="cost", by=("provider", "model"), scale=3600),
                    legend="{{provider}}/{{model}}",
                    top=_most("llm_provider_cost_usd_total"),
                ),
            ),
            stacked=True,
            thresholds=steps((None, "transparent"), (settings.cost_usd_per_hour, "red")),
        ),
        Panel(
            title="Money spent in range",
            description="Sum of the estimated cost over the time shown.",
            kind="stat",
            unit="currencyUSD",
            queries=(
                PanelQuery(
                    expression=f"sum(increase(llm_provider_cost_usd_total{{{MODEL}}}[$__range]))",
                    measure=Measure(of="calls", stat="sum", value="cost"),
                    legend="spent",
                    instant=True,
                ),
            ),
            width=4,
        ),
        Panel(
            title="Error budget left in range",
            description=(
                f"Of the failures that an objective of {number(settings.availability_objective * 100)}% allows "
                "over the time shown, the share still unused. Below zero it is overspent. It counts calls, as the "
                "alerts do: a retry that succeeds costs nothing, nor does what the caller did wrong."
            ),
            kind="stat",
            reduce="worst",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=(f"1 - ({failed} - ({refused} or 0 * {failed})) / ({allowed} * ({calls} > 0))"),
                    measure=Measure(
                        of="calls",
                        stat="mean",
                        value="failed",
                        by=("provider",),
                        where=(("outcome", "!cancelled"),),
                        scale=-1 / (1 - settings.availability_objective),
                        offset=1,
                    ),
                    legend="{{provider}}",
                    instant=True,
                ),
            ),
            width=8,
            minimum=None,
            thresholds=steps((None, "red"), (0.0, "orange"), (0.25, "green")),
        ),
        Panel(
            title="Budget spent",
            description="Budgets of the settings: the share spent of each in its present period.",
            kind="stat",
            reduce="worst",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=_BUDGETS,
                    legend="{{budget}} ({{period}})",
                    instant=True,
                    top=Top(by=("budget", "period"), rank=_BUDGETS),
                ),
            ),
            width=8,
            thresholds=steps((None, "green"), (0.8, "yellow"), (1.0, "red")),
        ),
        Panel(
            title="Tokens per call",
            description="Mean, by model and type. Growing prompts are growing histories.",
            unit="short",
            queries=(
                PanelQuery(
                    expression=(
                        "sum by (provider, model, type) "
                        f"(rate(llm_provider_tokens_total{{{MODEL}}}[$__rate_interval]))"
                        " / on (provider, model) group_left () "
                        f'({_ALL} (rate(llm_call_seconds_count{{{MODEL},outcome="success"}}'
                        "[$__rate_interval])) > 0)"
                    ),
                    measure=Measure(
                        of="calls",
                        stat="mean",
                        value="tokens",
                        by=("provider", "model", "type"),
                        where=(("outcome", "success"),),
                    ),
                    legend="{{provider}}/{{model}} {{type}}",
                    top=_most("llm_provider_tokens_total"),
                ),
            ),
            width=8,
        ),
        Panel(
            title="Cached share of prompt tokens",
            description="Prompt tokens read from the provider's cache. When it falls, the cost rises.",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=(
                        f'{_ALL} (rate(llm_provider_token_details_total{{{MODEL},detail="cache_read"}}'
                        f"[$__rate_interval])) / ({_ALL} (rate(llm_provider_tokens_total"
                        f'{{{MODEL},type="prompt"}}[$__rate_interval])) > 0)'
                    ),
                    measure=Measure(of="calls", stat="ratio", value="cached", by=("provider", "model"), over="prompt"),
                    legend="{{provider}}/{{model}}",
                    top=_most("llm_provider_tokens_total", ',type="prompt"'),
                ),
            ),
            width=8,
        ),
        Panel(
            title="Unpriced and missing usage",
            description=(
                "Calls whose cost is not known: the model has no price, or the answer reported no tokens. "
                "Anything above zero means that the cost shown is too low."
            ),
            unit="cps",
            queries=(
                PanelQuery(
                    expression=f"{_ALL} (rate(llm_calls_unpriced_total{{{MODEL}}}[$__rate_interval]))",
                    measure=Measure(of="calls", stat="rate", value="unpriced", by=("provider", "model")),
                    legend="{{provider}}/{{model}} unpriced",
                    top=_most("llm_calls_unpriced_total"),
                ),
                PanelQuery(
                    expression=f"{_ALL} (rate(llm_calls_usage_missing_total{{{MODEL}}}[$__rate_interval]))",
                    measure=Measure(of="calls", stat="rate", value="usage_missing", by=("provider", "model")),
                    legend="{{provider}}/{{model}} usage missing",
                    top=_most("llm_calls_usage_missing_total"),
                ),
            ),
        ),
        Panel(
            title="Wasted per hour by cause",
            description=(
                "What calls cost that bought nothing: failed or aborted after billing, asked again, loops, prompts "
                "that missed the cache, tool definitions that are never used. It is part of the cost."
            ),
            unit="currencyUSD",
            queries=(
                PanelQuery(
                    expression=(f"sum by (cause) (rate(llm_waste_usd_total{{{MODEL}}}[$__rate_interval])) * 3600"),
                    legend="{{cause}}",
                ),
            ),
            stacked=True,
        ),
        folded=True,
    )


def _waits() -> PanelRow:
    return row(
        "Waits and retries",
        Panel(
            title="Callers waiting on rate limits",
            description="Seconds slept per second: how many callers stand waiting at any moment, on average.",
            unit="short",
            queries=(
                PanelQuery(
                    expression=(
                        "sum by (provider) "
                        f"(rate(llm_provider_rate_limit_delays_seconds_sum{{{PROVIDER}}}[$__rate_interval]))"
                    ),
                    measure=Measure(of="calls", stat="rate", value="wait", by=("provider",)),
                    legend="{{provider}}",
                ),
            ),
            width=8,
        ),
        Panel(
            title="Retries per call",
            description="Requests beyond the first that a call needed, on average. 0 is a good day.",
            unit="short",
            queries=(
                PanelQuery(
                    expression=(
                        f"clamp_min({_ALL} (rate({_COUNT}{{{MODEL}}}[$__rate_interval])) / "
                        f"({_ALL} (rate(llm_call_seconds_count{{{MODEL}}}[$__rate_interval])) > 0) - 1, 0)"
                    ),
                    measure=Measure(of="calls", stat="mean", value="retries", by=("provider", "model")),
                    legend="{{provider}}/{{model}}",
                    top=Top(
                        by=("provider", "model"),
                        rank=(
                            f"{_ALL} (increase({_COUNT}{{{MODEL}}}[$__range] @ end()))"
                            f" - {_ALL} (increase({_CALLS}{{{MODEL}}}[$__range] @ end()))"
                        ),
                    ),
                ),
            ),
            width=8,
        ),
        Panel(
            title="Rate limit left",
            description="Share of the provider's limit that its last answer said was left.",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=(
                        f"min by (provider, model, kind) (llm_provider_rate_limit_remaining{{{MODEL}}})"
                        f" / max by (provider, model, kind) (llm_provider_rate_limit_limit{{{MODEL}}})"
                    ),
                    legend="{{provider}}/{{model}} {{kind}}",
                    top=Top(
                        by=("provider", "model"),
                        rank=(
                            f"min by (provider, model) (llm_provider_rate_limit_remaining{{{MODEL}}} @ end()"
                            f" / llm_provider_rate_limit_limit{{{MODEL}}} @ end())"
                        ),
                        lowest=True,
                    ),
                ),
            ),
            width=8,
        ),
        folded=True,
    )


def _ledger(settings: AlertsSettings) -> PanelRow:
    return row(
        "Usage ledger",
        Panel(
            title="Ledger write latency p95",
            description="Time to write usage records into the store. 1 s means 1 s or more.",
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        "histogram_quantile(0.95, sum by (le, outcome) "
                        f"(rate(llm_usage_persist_seconds_bucket{{{TARGET}}}[$__rate_interval])))"
                    ),
                    legend="{{outcome}}",
                ),
            ),
            width=8,
            thresholds=steps((None, "transparent"), (settings.persist_seconds, "orange")),
        ),
        Panel(
            title="Ledger backlog",
            description="Records accepted and not yet in the store; they are safe on disk meanwhile.",
            unit="short",
            queries=(
                PanelQuery(expression=f"sum(llm_usage_persist_queue_size{{{TARGET}}})", legend="records waiting"),
            ),
            width=4,
        ),
        Panel(
            title="Oldest record waiting",
            description="Age of the oldest record that is not yet in the store: how late reports are.",
            unit="s",
            queries=(PanelQuery(expression=f"max(llm_usage_persist_oldest_age_seconds{{{TARGET}}})", legend="oldest"),),
            width=4,
            thresholds=steps((None, "transparent"), (settings.persist_lag_seconds, "orange")),
        ),
        Panel(
            title="Ledger loss in range",
            description="Records refused, set aside or lost over the time shown. All three should be zero.",
            kind="stat",
            unit="short",
            queries=(
                PanelQuery(
                    expression=f"sum(increase(llm_usage_records_refused_total{{{TARGET}}}[$__range]))",
                    legend="refused",
                    instant=True,
                ),
                PanelQuery(
                    expression=f"sum(increase(llm_usage_records_quarantined_total{{{TARGET}}}[$__range]))",
                    legend="set aside",
                    instant=True,
                ),
                PanelQuery(
                    expression=f"sum(increase(llm_usage_records_lost_total{{{TARGET}}}[$__range]))",
                    legend="lost",
                    instant=True,
                ),
            ),
            width=8,
            thresholds=steps((None, "green"), (0.5, "red")),
        ),
        folded=True,
    )
