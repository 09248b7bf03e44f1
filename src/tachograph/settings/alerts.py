"""Settings of the alert rules: thresholds, objectives, budgets, and where the rules find things."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Objective = Annotated[float, msgspec.Meta(ge=0.94, lt=1)]
"""At least 0.94: below it, 14.4 times the budget is more than everything, and the fast burn rate could never fire."""
Count = Annotated[int, msgspec.Meta(ge=1)]
Label = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class AlertChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one alert has of its own, as `[tool.tachograph.alerts.change.NAME]`.

    Attributes:
        drop: Leave the alert out.
        severity: Another severity.
        hold: Another `for`.
        set: Thresholds of the section `alerts` that only this alert compares with: `{ error_share = 0.2 }`.
        labels: Labels to add.
    """

    drop: bool = False
    severity: Literal["critical", "warning", "info", "none"] | None = None
    hold: Annotated[str, msgspec.Meta(pattern=r"^(\d+(ms|[smhdwy]))+$")] | None = None
    set: dict[str, float] = {}
    labels: dict[str, str] = {}


class AlertsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the exported rules compare with. The defaults of the first five give the contract's rules word for word.

    Attributes:
        provider_errors_per_second: HighProviderErrorRate, per series.
        tokens_per_second: ExcessiveTokenUsage per series, LLMTokenUsageTotalExcessive per provider.
        cost_usd_per_hour: HighProviderCost per series, LLMCostTotalHigh over everything.
        tool_errors_per_second: HighMCPToolErrorRate, per series.
        tool_seconds: SlowToolExecution and MCPToolSlowRatioHigh; a bucket bound of mcp_tool_execute_seconds.
        job: Name of the scrape job; several joined by `|`.
        identity: Labels that say where a series comes from (`cluster`, `namespace`, `job`, `app`, `team`, `instance`).
            Rules, routes and inhibitions of ours keep apart what differs in one of them.
        profile: `scrape` where Prometheus scrapes (`up` says whether it could), `push` where metrics arrive over OTLP;
            `auto` is `push` where no /metrics is served and OTEL_EXPORTER_OTLP_ENDPOINT is set.
        labels: Labels to add to every alert.
        change: What to change of one alert, by its name: see `AlertChange`.
        scrape_interval: How often Prometheus scrapes, in seconds.
        push_interval: How often metrics are pushed over OTLP, in seconds. Unless set, OTEL_METRIC_EXPORT_INTERVAL
            says it, and 60 where that is not set either. The profile `push` widens windows that are too short for it.
        runbook_url: Address of the runbooks for the annotation `runbook_url`: the alert's name takes the place of
            `{alert}`, or follows. `https://git.example/runbooks/{alert}.md` leads to exported pages.
        keep_firing: Write `keep_firing_for`, which Prometheus supports since 2.42; off for rulers that refuse it.
        dashboard_url: Grafana's address for the annotation `dashboard_url`; empty leaves it out.
        availability_objective: Objective of requests that must not fail, for the burn rates.
        tool_availability_objective: The same for tool calls of one MCP server.
        latency_objective: Objective of successful requests that must be done within `latency_seconds`.
        latency_seconds: A bucket bound of llm_provider_request_seconds.
        error_share: LLMProviderErrorRatioHigh.
        error_floor: Fewest errors that a ratio or a burn rate may alert on.
        down_errors: LLMProviderDown: fewest failures with no success beside them.
        page_share: LLMCallsFailing: share of failed calls to one model that pages.
        refused_share: LLMProviderAuthFailure and LLMProviderQuotaExhausted: share of requests that is an outage.
        hang_seconds: LLMProviderHanging: age of the oldest call under way.
        rate_limited_share: LLMProviderRateLimitSaturation.
        blocked_callers: LLMProviderRateLimitBlocking: callers waiting on rate limits at any moment.
        quiet_requests_per_second: LLMProviderTrafficStopped: a provider with less traffic is not missed.
        daily_budget_usd: Deprecated: name a budget in `budgets.limits`. While it is set, it is a budget named `daily`.
        budget_hours_left: LLMBudgetForecast: a budget that will be spent within so many hours.
        cost_anomaly_factor: LLMCostAnomaly: times the highest at this hour of the week before.
        cost_anomaly_floor_usd_per_hour: LLMCostAnomaly is quiet below it.
        token_spike_factor: LLMTokenSpike: times the highest at this hour of the week before.
        token_spike_floor: LLMTokenSpike is quiet below it, in tokens per second.
        usage_missing_share: LLMUsageNotReported, LLMUsageMismatch: share of calls without, or with wrong, token counts.
        waste_share: LLMWasteHigh: share of the cost that buys nothing.
        waste_floor_usd_per_hour: LLMWasteHigh is quiet below it.
        bill_drift_share: LLMBillDrift: how far bill and ledger may be apart.
        tool_error_share: MCPToolErrorRatioHigh.
        tool_slow_share: MCPToolSlowRatioHigh: share of calls above `tool_seconds`.
        tool_timeout_share: MCPToolTimeouts.
        tool_error_floor: Fewest errors, slow calls or timeouts of a tool that may alert.
        flaps: MCPServerFlapping: changes in 15 minutes.
        registry_miss_share: MCPRegistryMissRatioHigh.
        registry_seconds: MCPRegistryLookupSlow; a bucket bound of mcp_tool_registry_lookup_seconds.
        factory_seconds: FactoryCreateSlow: mean time of a creation.
        persist_error_share: LLMUsagePersistErrorRatioHigh.
        persist_backlog: LLMUsagePersistBacklog: records not yet in the store.
        persist_lag_seconds: LLMUsagePersistLag: age of the oldest record not yet in the store.
        persist_seconds: LLMUsagePersistSlow; a bucket bound of llm_usage_persist_seconds.
        series_per_target: LLMMonitorCardinalityHigh. 200 models and 200 tools, as many as `metrics.label_limit` allows,
            are 43,325 series in every usual outcome; the default leaves a third for rarer kinds of tokens and errors.
    """

    provider_errors_per_second: Positive = 0.1
    tokens_per_second: Positive = 50_000
    cost_usd_per_hour: Positive = 100
    tool_errors_per_second: Positive = 0.05
    tool_seconds: Positive = 10

    job: Annotated[str, msgspec.Meta(pattern=r"^[^\s\"\\]+$")] = "tachograph"
    identity: tuple[Label, ...] = ("job",)
    profile: Literal["auto", "scrape", "push"] = "auto"
    labels: dict[str, str] = {}
    change: dict[str, AlertChange] = {}
    scrape_interval: Annotated[int, msgspec.Meta(ge=1, le=15)] = 15
    push_interval: Annotated[int, msgspec.Meta(ge=1, le=60)] | None = None
    runbook_url: str = "http://127.0.0.1:9465/#/alerts?alert="
    keep_firing: bool = True
    dashboard_url: str = ""

    availability_objective: Objective = 0.99
    tool_availability_objective: Objective = 0.99
    latency_objective: Objective = 0.95
    latency_seconds: Positive = 30
    error_share: Share = 0.05
    error_floor: Count = 5
    down_errors: Count = 5
    page_share: Share = 0.2
    refused_share: Share = 0.1
    hang_seconds: Positive = 60
    rate_limited_share: Share = 0.05
    blocked_callers: Positive = 1
    quiet_requests_per_second: Positive = 0.05

    daily_budget_usd: Positive | None = None
    budget_hours_left: Positive = 4
    cost_anomaly_factor: Positive = 3
    cost_anomaly_floor_usd_per_hour: Positive = 5
    token_spike_factor: Positive = 5
    token_spike_floor: Positive = 500
    usage_missing_share: Share = 0.05
    waste_share: Share = 0.2
    waste_floor_usd_per_hour: Positive = 1
    bill_drift_share: Share = 0.02

    tool_error_share: Share = 0.1
    tool_slow_share: Share = 0.05
    tool_timeout_share: Share = 0.05
    tool_error_floor: Count = 3
    flaps: Count = 6
    registry_miss_share: Share = 0.2
    registry_seconds: Positive = 0.01
    factory_seconds: Positive = 0.05

    persist_error_share: Share = 0.05
    persist_backlog: Count = 1000
    persist_lag_seconds: Positive = 300
    persist_seconds: Positive = 0.5
    series_per_target: Count = 60_000
