"""Recording rules: the ratios that burn rates compare, over each window, and two rates that anomalies look back on."""

from __future__ import annotations

from tachograph.catalogue.alerts.parts import NOT_OUR_FAULT, le
from tachograph.catalogue.rules import Recording
from tachograph.settings.alerts import AlertsSettings

_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_SLOW_WINDOWS = ("5m", "30m", "1h", "6h")


def recordings(s: AlertsSettings) -> tuple[Recording, ...]:
    """All of them, in the order in which they are evaluated."""
    return (
        *(Recording(f"provider:llm_provider_errors:ratio_rate{window}", _errors(window)) for window in _WINDOWS),
        *(Recording(f"server_id:mcp_tool_errors:ratio_rate{window}", _tools(window)) for window in _WINDOWS),
        *(Recording(f"provider:llm_provider_slow:ratio_rate{window}", _slow(s, window)) for window in _SLOW_WINDOWS),
        Recording(
            "provider:llm_provider_cost_usd_per_hour:rate1h",
            "sum by (provider) (rate(llm_provider_cost_usd_total[1h])) * 3600",
        ),
        Recording(
            "provider_model:llm_provider_tokens:rate15m",
            "sum by (provider, model) (rate(llm_provider_tokens_total[15m]))",
        ),
    )


def _ratio(by: str, errors: str, requests: str, window: str) -> str:
    total = f"sum by ({by}) (rate({requests}[{window}]))"
    return f"(sum by ({by}) (rate({errors}[{window}])) or 0 * {total})\n/\n({total} > 0)"


def _errors(window: str) -> str:
    return _ratio(
        "provider",
        f"llm_provider_errors_total{{{NOT_OUR_FAULT}}}",
        'llm_provider_request_seconds_count{outcome!="cancelled"}',
        window,
    )


def _tools(window: str) -> str:
    return _ratio(
        "server_id",
        'mcp_tool_errors_total{error_kind!="validation"}',
        'mcp_tool_execute_seconds_count{outcome!="cancelled"}',
        window,
    )


def _slow(s: AlertsSettings, window: str) -> str:
    family = "llm_provider_request_seconds"
    return (
        f'1 - sum by (provider) (rate({family}_bucket{{outcome="success",{le(s.latency_seconds)}}}[{window}]))\n'
        "/\n"
        f'(sum by (provider) (rate({family}_count{{outcome="success"}}[{window}])) > 0)'
    )
