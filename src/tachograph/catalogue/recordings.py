"""Recording rules: rates over five minutes, and the ratios over longer windows that are built from them.

A window of three days over raw samples reads millions of them; the average of a recorded rate reads thousands.
"""

from __future__ import annotations

from tachograph.catalogue.alerts.parts import failed, le
from tachograph.catalogue.push import PRESENT
from tachograph.catalogue.rules import RecordingRule
from tachograph.settings.alerts import AlertsSettings

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_CALLS = "llm_call_seconds"
_TOOLS = "mcp_tool_execute_seconds"


def recordings(s: AlertsSettings) -> tuple[RecordingRule, ...]:
    """All of them, in the order in which they are evaluated."""
    return (
        *_rates(
            "provider_model:llm_call", "WHERE, provider, model", _CALLS, failed("WHERE, provider, model", "5m", "rate")
        ),
        *(
            RecordingRule(
                f"provider:llm_call{kind}:rate5m", f"sum by (WHERE, provider) (provider_model:llm_call{kind}:rate5m)"
            )
            for kind in ("s", "_errors", "_successes")
        ),
        *_rates("server_id:mcp_tool", "WHERE, server_id", _TOOLS, tool_failed("WHERE, server_id", "5m", "rate")),
        *_rates(
            "tool:mcp_tool",
            "WHERE, server_id, tool_name",
            _TOOLS,
            tool_failed("WHERE, server_id, tool_name", "5m", "rate"),
        ),
        RecordingRule(
            "provider:llm_call_slow:rate5m",
            f'sum by (WHERE, provider) (rate({_CALLS}_count{{outcome="success"}}[5m]))\n'
            f'- sum by (WHERE, provider) (rate({_CALLS}_bucket{{outcome="success",{le(s.latency_seconds)}}}[5m]))',
        ),
        *(
            RecordingRule(f"{name}:ratio_rate{window}", _ratio(f"{name}:rate5m", f"{of}:rate5m", window))
            for name, of in (
                ("provider:llm_call_errors", "provider:llm_calls"),
                ("provider:llm_call_slow", "provider:llm_call_successes"),
                ("server_id:mcp_tool_errors", "server_id:mcp_tools"),
            )
            for window in WINDOWS
        ),
        RecordingRule(
            "provider:llm_provider_cost_usd_per_hour:rate1h",
            "sum by (WHERE, provider) (rate(llm_provider_cost_usd_total[1h])) * 3600",
        ),
        RecordingRule(
            "provider_model:llm_provider_tokens:rate15m",
            "sum by (WHERE, provider, model) (rate(llm_provider_tokens_total[15m]))",
        ),
        *(
            (RecordingRule("fleet:tachograph_processes:count", f"count by (FLEET) ({PRESENT})"),)
            if s.profile == "push"
            else ()
        ),
    )


def tool_failed(by: str, window: str, function: str = "increase") -> str:
    """Tool calls that failed; arguments that the tool refused as invalid are the caller's."""
    calls = f'sum by ({by}) ({function}({_TOOLS}_count{{outcome=~"error|timeout"}}[{window}]))'
    refused = f'sum by ({by}) ({function}(mcp_tool_errors_total{{error_kind="validation"}}[{window}]))'
    return f"({calls} - ({refused} or 0 * {calls}))"


def _rates(name: str, by: str, family: str, errors: str) -> tuple[RecordingRule, ...]:
    """Calls, failures and successes a second."""
    return (
        RecordingRule(f"{name}s:rate5m", f'sum by ({by}) (rate({family}_count{{outcome!="cancelled"}}[5m]))'),
        RecordingRule(f"{name}_errors:rate5m", f"clamp_min({errors}, 0)"),
        RecordingRule(f"{name}_successes:rate5m", f'sum by ({by}) (rate({family}_count{{outcome="success"}}[5m]))'),
    )


def _ratio(part: str, whole: str, window: str) -> str:
    if window == "5m":
        return f"{part} / ({whole} > 0)"
    return f"avg_over_time({part}[{window}])\n/\n(avg_over_time({whole}[{window}]) > 0)"
