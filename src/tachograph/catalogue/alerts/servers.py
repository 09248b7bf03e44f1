"""MCP servers: gone, flapping, unreachable."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.alerts.parts import OUTLASTS, counted
from tachograph.catalogue.drill import Counter, Drill, Gauge
from tachograph.catalogue.rules import Alert
from tachograph.settings.alerts import AlertsSettings

_BY: Final = "WHERE, server_id"
_ACTIVE: Final = "mcp_server_connections_active"
_SERVER: Final = {"server_id": "search"}


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Connections, by server."""
    return (_disconnected(), _flapping(s), _connection_errors())


def _disconnected() -> Alert:
    return Alert(
        name="MCPServerDisconnected",
        expression=(
            "(\n"
            f"  sum by (WHERE, server_id) (max_over_time({_ACTIVE}[1h])) > 0\n"
            "  unless\n"
            f"  sum by (WHERE, server_id) ({_ACTIVE}) > 0\n"
            ")\n"
            "and on (WHERE, server_id)\n"
            "(\n"
            + counted('mcp_server_connections_total{outcome!="success"}', _BY, window="10m", at_least="> 0")
            + "\nor\n"
            + counted('mcp_tool_errors_total{error_kind="connection"}', _BY, window="10m", at_least="> 0")
            + "\n)"
        ),
        hold="2m",
        keep=OUTLASTS,
        severity="critical",
        component="mcp",
        summary="MCP server {{ $labels.server_id }}: no connection",
        description=(
            "{{ $labels.server_id }} had connections within the last hour, has none now, and attempts to connect "
            "failed in the last 10m."
        ),
        drill=Drill(
            series=(
                Gauge(_ACTIVE, _SERVER, (2, 0, 2)),
                Counter("mcp_server_connections_total", {**_SERVER, "outcome": "success"}, (0.001, 0, 0.01)),
                Counter("mcp_server_connections_total", {**_SERVER, "outcome": "error"}, (None, 0.05, 0)),
            ),
            within="3m",
            labels=_SERVER,
        ),
    )


def _flapping(s: AlertsSettings) -> Alert:
    return Alert(
        name="MCPServerFlapping",
        expression=f"changes((sum by (WHERE, server_id) ({_ACTIVE}) > bool 0)[15m:30s]) >= {s.flaps}",
        hold="0s",
        severity="warning",
        component="mcp",
        summary="MCP server {{ $labels.server_id }} flaps",
        description=(
            '{{ $labels.server_id }} went up or down {{ $value | printf "%.0f" }} times in 15m. Flaps shorter than a '
            "scrape are not seen: look at connection errors too."
        ),
        drill=Drill(
            series=(Gauge(_ACTIVE, _SERVER, (1, 1, 1), every=60),),
            within=f"{s.flaps + 2}m",
            labels=_SERVER,
            trouble="20m",
            after="25m",
        ),
    )


def _connection_errors() -> Alert:
    return Alert(
        name="MCPConnectionErrors",
        expression=counted('mcp_tool_errors_total{error_kind="connection"}', _BY, window="5m", at_least=">= 3"),
        hold="1m",
        severity="warning",
        component="mcp",
        summary="MCP server {{ $labels.server_id }}: connection errors",
        description='{{ $value | printf "%.0f" }} tool calls could not reach {{ $labels.server_id }} in 5m.',
        drill=Drill(
            series=(
                Counter(
                    "mcp_tool_errors_total",
                    {**_SERVER, "tool_name": "web_search", "error_kind": "connection"},
                    (None, 0.05, 0),
                ),
            ),
            within="4m",
            labels=_SERVER,
        ),
    )
