"""The contract's five rules, word for word with the default thresholds (docs/contract.md)."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.alerts.parts import target
from tachograph.catalogue.drill import Counter, Drill, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import Alert
from tachograph.settings.alerts import AlertsSettings

NAMES: Final = (
    "HighProviderErrorRate",
    "ExcessiveTokenUsage",
    "HighProviderCost",
    "HighMCPToolErrorRate",
    "SlowToolExecution",
)
"""Their summaries are the user's, so they stay as they stand; `title` says the same in plain numbers."""


def llm_rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Group `llm_providers`."""
    series = {"provider": "openai", "model": "gpt-5"}
    return (
        Alert(
            name="HighProviderErrorRate",
            expression=f"rate(llm_provider_errors_total[5m]) > {number(s.provider_errors_per_second)}",
            hold="2m",
            severity="warning",
            component="llm_provider",
            summary="Provider {{ $labels.provider }} error rate: {{ $value | humanize }}/sec",
            more_annotations=(("title", '{{ $labels.provider }}: {{ $value | printf "%.2f" }} errors/s'),),
            description=(
                '{{ $value | printf "%.2f" }} {{ $labels.error_type }} errors/s from '
                "{{ $labels.provider }}/{{ $labels.model }} on {{ $labels.instance }} over the last 5m, above "
                f"{number(s.provider_errors_per_second)}/s for 2m."
            ),
            drill=Drill(
                series=(
                    Counter(
                        "llm_provider_errors_total",
                        {**series, "error_type": "server_error"},
                        _times(s.provider_errors_per_second),
                    ),
                ),
                within="4m",
                labels={**series, "error_type": "server_error", **target(s)},
            ),
        ),
        Alert(
            name="ExcessiveTokenUsage",
            expression=f"rate(llm_provider_tokens_total[5m]) > {number(s.tokens_per_second)}",
            hold="5m",
            severity="warning",
            component="llm_provider",
            summary="Token consumption spike: {{ $value | humanize }} tokens/sec",
            more_annotations=(("title", '{{ $labels.provider }}: {{ $value | printf "%.0f" }} tokens/s'),),
            description=(
                '{{ $labels.provider }}/{{ $labels.model }} on {{ $labels.instance }} uses {{ $value | printf "%.0f" '
                "}} {{ $labels.type }} tokens per second (times 60 for a TPM limit)."
            ),
            drill=Drill(
                series=(
                    Counter("llm_provider_tokens_total", {**series, "type": "prompt"}, _times(s.tokens_per_second)),
                ),
                within="7m",
                labels={**series, "type": "prompt", **target(s)},
            ),
        ),
        Alert(
            name="HighProviderCost",
            expression=f"rate(llm_provider_cost_usd_total[1m]) * 3600 > {number(s.cost_usd_per_hour)}",
            hold="5m",
            severity="warning",
            component="llm_provider",
            summary=f"Estimated cost exceeds ${number(s.cost_usd_per_hour)}/hour",
            description=(
                '{{ $labels.provider }}/{{ $labels.model }} spends ${{ $value | printf "%.2f" }}/hour by its 1m rate; '
                "this is one model on {{ $labels.instance }} only."
            ),
            drill=Drill(
                series=(Counter("llm_provider_cost_usd_total", series, _times(s.cost_usd_per_hour / 3600)),),
                within="6m30s",
                labels={**series, **target(s)},
            ),
        ),
    )


def mcp_rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Group `mcp_tools`."""
    series = {"server_id": "search", "tool_name": "web_search"}
    seconds = number(s.tool_seconds)
    slow: dict[float, float] = {s.tool_seconds * 2: 0.5}
    fast: dict[float, float] = {s.tool_seconds / 20: 0.5}
    return (
        Alert(
            name="HighMCPToolErrorRate",
            expression=f"rate(mcp_tool_errors_total[5m]) > {number(s.tool_errors_per_second)}",
            hold="2m",
            severity="warning",
            component="mcp",
            summary="MCP tool {{ $labels.tool_name }} error rate high",
            description=(
                '{{ $value | printf "%.2f" }} {{ $labels.error_kind }} errors/s from tool {{ $labels.tool_name }} of '
                "{{ $labels.server_id }} on {{ $labels.instance }} over the last 5m."
            ),
            drill=Drill(
                series=(
                    Counter(
                        "mcp_tool_errors_total",
                        {**series, "error_kind": "execution"},
                        _times(s.tool_errors_per_second),
                    ),
                ),
                within="4m",
                labels={**series, "error_kind": "execution", **target(s)},
            ),
        ),
        Alert(
            name="SlowToolExecution",
            expression=f"histogram_quantile(0.95, rate(mcp_tool_execute_seconds_bucket[5m])) > {seconds}",
            hold="5m",
            severity="warning",
            component="mcp",
            summary=f"Tool execution p95 > {seconds}s",
            description=(
                "p95 of {{ $labels.outcome }} executions of {{ $labels.tool_name }} on {{ $labels.server_id }} is "
                "{{ $value | humanizeDuration }} (30s stands for 30s or more: it is the highest bucket)."
            ),
            drill=Drill(
                series=(Histogram("mcp_tool_execute_seconds", {**series, "outcome": "success"}, (fast, slow, fast)),),
                within="6m30s",
                labels={**series, "outcome": "success", **target(s)},
            ),
        ),
    )


def _times(threshold: float) -> tuple[float, float, float]:
    """A fifth of a threshold, five times it, a fifth again."""
    return threshold / 5, threshold * 5, threshold / 5
