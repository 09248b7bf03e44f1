"""MCP tools: failing, slow, timing out."""

from __future__ import annotations

from typing import Final, Literal

from tachograph.catalogue.alerts.parts import OUTLASTS, burn_drills, burn_rates, given_up, le, nothing_succeeds
from tachograph.catalogue.drill import Counter, Drill, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_FAMILY: Final = "mcp_tool_execute_seconds"
_TOOL: Final = {"server_id": "search", "tool_name": "web_search"}
_CALLS: Final = "tool_outcome:mcp_tools:rate10m"
_BY: Final = "sum by (WHERE, server_id, tool_name)"
_WHO: Final = "{{ $labels.tool_name }} on {{ $labels.server_id }}"


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Shares with a floor on volume, over all outcomes and instances."""
    return (
        _errors(s),
        _down(s, "MCPServerDown", "server_id", "server_id", "critical"),
        _down(s, "MCPToolDown", "server_id, tool_name", "tool", "warning"),
        _given_up(s),
        _slow(s),
        _timeouts(s),
    )


def _down(s: AlertsSettings, name: str, labels: str, level: str, severity: Literal["critical", "warning"]) -> Alert:
    what = "{{ $labels.server_id }}" + ("/{{ $labels.tool_name }}" if "tool" in labels else "")
    return Alert(
        name=name,
        expression=nothing_succeeds(f"{level}:mcp_tool", at_least=s.down_errors),
        hold="1m",
        keep=OUTLASTS,
        severity=severity,
        component="mcp",
        summary=f"{what}: every tool call fails",
        description=(
            f'The last {{{{ $value | printf "%.0f" }}}} tool calls on {what} failed and none succeeded in between. '
            "Arguments that the tool refused as invalid are not counted."
        ),
        drill=Drill(
            series=(
                Histogram(_FAMILY, {**_TOOL, "outcome": "success"}, ({0.3: 0.3}, {0.3: 0.0}, {0.3: 0.3})),
                Histogram(_FAMILY, {**_TOOL, "outcome": "error"}, ({0.3: 0.0}, {0.3: 0.3}, {0.3: 0.0})),
            ),
            within="4m30s",
            labels=_TOOL if "tool" in labels else {"server_id": "search"},
            after="25m",
        ),
    )


def _given_up(s: AlertsSettings) -> Alert:
    return Alert(
        name="MCPCallsGivenUp",
        expression=given_up(
            "server_id_outcome:mcp_tools",
            "server_id_outcome:mcp_tool_seconds",
            "WHERE, server_id",
            at_least=s.down_errors,
        ),
        hold="1m",
        keep=OUTLASTS,
        severity="critical",
        component="mcp",
        summary="{{ $labels.server_id }}: every tool call is cancelled before its result",
        description=(
            'The application cancelled the last {{ $value | printf "%.0f" }} tool calls on {{ $labels.server_id }} '
            "after longer than a result took in the hour before, and none succeeded in between. A time limit of the "
            "application's own cancels calls that hang."
        ),
        drill=Drill(
            series=(
                Histogram(_FAMILY, {**_TOOL, "outcome": "success"}, ({0.3: 0.3}, {0.3: 0.0}, {0.3: 0.3})),
                Histogram(_FAMILY, {**_TOOL, "outcome": "cancelled"}, ({0.3: 0.0}, {20.0: 0.3}, {0.3: 0.0})),
            ),
            within="7m",
            labels={"server_id": "search"},
            after="25m",
        ),
    )


def _mixed(success: float, other: float, outcome: str, seconds: float = 0.3) -> tuple[Histogram, ...]:
    """Mostly successes; in trouble, `other` a second end with this outcome after so long."""
    return (
        Histogram(_FAMILY, {**_TOOL, "outcome": "success"}, ({0.3: success}, {0.3: success}, {0.3: success})),
        Histogram(_FAMILY, {**_TOOL, "outcome": outcome}, ({seconds: 0.0}, {seconds: other}, {seconds: 0.0})),
    )


def _errors(s: AlertsSettings) -> Alert:
    return Alert(
        name="MCPToolErrorRatioHigh",
        expression=(
            f"({_BY} (increase(mcp_tool_errors_total[10m])) >= {s.tool_error_floor}) / 600\n"
            "/\n"
            f'({_BY} ({_CALLS}{{outcome!="cancelled"}}) > 0)\n'
            f"> {number(s.tool_error_share)}"
        ),
        hold="5m",
        severity="warning",
        component="mcp",
        summary=("{{ $labels.server_id }}/{{ $labels.tool_name }}: " + SHARE + " of calls fail"),
        description=(
            SHARE + f" of executions of {_WHO} failed over 10m, all kinds and "
            f"instances, at least {s.tool_error_floor} of them."
        ),
        drill=Drill(
            series=(
                *_mixed(0.05, 0.05, "error"),
                Counter("mcp_tool_errors_total", {**_TOOL, "error_kind": "execution"}, (0, 0.05, 0)),
            ),
            within="10m",
            labels=_TOOL,
        ),
    )


def _slow(s: AlertsSettings) -> Alert:
    bound, seconds = le(s.tool_seconds), number(s.tool_seconds)
    calls = f"{_BY} (tool_outcome:mcp_tools:rate5m)"
    return Alert(
        name="MCPToolSlowRatioHigh",
        expression=(
            f"(({calls} - {_BY} (rate({_FAMILY}_bucket{{{bound}}}[5m]))) * 300 >= {s.tool_error_floor}) / 300\n"
            "/\n"
            f"({calls} > 0)\n"
            f"> {number(s.tool_slow_share)}"
        ),
        hold="5m",
        severity="warning",
        component="mcp",
        summary=("{{ $labels.server_id }}/{{ $labels.tool_name }}: " + SHARE + f" of calls over {seconds}s"),
        description=(
            SHARE + f" of all calls to {_WHO} took over {seconds}s in the last 5m, "
            f"timeouts included, at least {s.tool_error_floor} of them. Exact: it is a bucket bound."
        ),
        drill=Drill(
            series=_mixed(0.2, min(0.9, s.tool_slow_share * 4), "success", s.tool_seconds * 2),
            within="9m",
            labels=_TOOL,
        ),
    )


def _timeouts(s: AlertsSettings) -> Alert:
    return Alert(
        name="MCPToolTimeouts",
        expression=(
            f'({_BY} ({_CALLS}{{outcome="timeout"}}) * 600 >= {s.tool_error_floor}) / 600\n'
            "/\n"
            f'({_BY} ({_CALLS}{{outcome!="cancelled"}}) > 0)\n'
            f"> {number(s.tool_timeout_share)}"
        ),
        hold="5m",
        severity="warning",
        component="mcp",
        summary=("{{ $labels.server_id }}/{{ $labels.tool_name }}: " + SHARE + " of calls time out"),
        description=SHARE + f" of executions of {_WHO} timed out over 10m.",
        drill=Drill(series=_mixed(0.05, 0.05, "timeout", 5.0), within="10m", labels=_TOOL),
    )


def burn_rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """The error budget of an MCP server burns."""
    drills = burn_drills(
        lambda error: (
            *_mixed(1 - error, error, "error"),
            Counter("mcp_tool_errors_total", {**_TOOL, "error_kind": "execution"}, (0, error, 0)),
        ),
        {"server_id": "search"},
        1 - s.tool_availability_objective,
    )
    return burn_rates(
        Alert(
            name="MCPServerErrorBudgetBurn",
            expression="",
            hold="",
            severity="critical",
            component="mcp",
            more_labels=(("slo", "mcp_availability"),),
            summary="MCP server {{ $labels.server_id }} burns its error budget too fast (over LONG and SHORT)",
            description=(
                SHARE + " of tool calls on {{ $labels.server_id }} failed over LONG: "
                "EXCEEDS what the objective of OBJECTIVE allows. Validation errors are not counted."
            ),
            drill=drills["1h"],
        ),
        level="server_id",
        part="server_id:mcp_tool_errors",
        counted="server_id:mcp_tool_errors",
        objective=s.tool_availability_objective,
        at_least=s.error_floor,
        drills=drills,
    )
