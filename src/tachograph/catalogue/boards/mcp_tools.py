"""The dashboard MCP Tools: the required panels above (docs/contract.md), further rows folded below."""

from __future__ import annotations

from tachograph.catalogue.boards.common import (
    LLM_UID,
    MCP_UID,
    OUTCOME_COLORS,
    TARGET,
    TOOL,
    marks,
    most,
    row,
    steps,
    variables,
)
from tachograph.catalogue.durations import number
from tachograph.catalogue.panels import Dashboard, Link, Measure, Panel, PanelQuery, PanelRow, Top, Variable
from tachograph.settings.alerts import AlertsSettings

_COUNT = "mcp_tool_execute_seconds_count"
_SERVER = f'{TARGET},server_id=~"$server_id"'
_CONNECTIONS = f"mcp_server_connections_active{{{_SERVER}}}"

_FEWEST = Top(by=("server_id",), rank=f"sum by (server_id) ({_CONNECTIONS} @ end())", lowest=True)


def _most(family: str, matchers: str = "") -> Top:
    """The tools with the most of this."""
    return most(f"{family}{{{TOOL}{matchers}}}", "server_id", "tool_name")


def dashboard(settings: AlertsSettings) -> Dashboard:
    """Tool latency, connections and registry, errors; below: calls, connections over time, factories."""
    return Dashboard(
        uid=MCP_UID,
        title="MCP Tools",
        description="MCP servers and their tools: how long they take, whether they are connected, how they fail.",
        tags=("tachograph", "mcp"),
        variables=variables(
            Variable(name="server_id", label="Server", metric=_COUNT, matchers=TARGET),
            Variable(name="tool_name", label="Tool", metric=_COUNT, matchers=_SERVER),
        ),
        rows=(
            _latency(settings),
            _connections(),
            _errors(),
            _calls(settings),
            _tools(settings),
            _servers(),
            _registry(settings),
        ),
        annotations=marks("mcp|factory|telemetry"),
        links=(Link("LLM Provider", uid=LLM_UID), Link("Runbooks", url=settings.runbook_url)),
    )


def _p95(window: str) -> str:
    return (
        "histogram_quantile(0.95, sum by (le, server_id, tool_name) "
        f"(rate(mcp_tool_execute_seconds_bucket{{{TOOL}}}[{window}])))"
    )


def _latency(settings: AlertsSettings) -> PanelRow:
    seconds = settings.tool_seconds
    return row(
        "Latency",
        Panel(
            title="Tool execution latency p95 by server",
            description=(
                "One line of cells for each server and tool, time to the right, the colour is the p95 over all "
                "outcomes. 30 s means 30 s or more: it is the highest bucket."
            ),
            kind="heatmap",
            unit="s",
            queries=(
                PanelQuery(
                    expression=_p95("$__rate_interval"),
                    measure=Measure(of="tools", stat="p95", value="duration", by=("server_id", "tool_name")),
                    legend="{{server_id}} / {{tool_name}}",
                    top=_most("mcp_tool_execute_seconds_sum"),
                ),
            ),
            width=24,
            height=9,
            thresholds=steps((None, "green"), (seconds / 2, "yellow"), (seconds, "red")),
            required=True,
        ),
    )


def _connections() -> PanelRow:
    lookups = "mcp_tool_registry_lookup_seconds_bucket"
    return row(
        "Connections and registry",
        Panel(
            title="Active connections",
            description="Connections to each MCP server that are open now. Red is none.",
            kind="gauge",
            unit="short",
            queries=(
                PanelQuery(
                    expression=f"sum by (server_id) ({_CONNECTIONS})", legend="{{server_id}}", instant=True, top=_FEWEST
                ),
            ),
            thresholds=steps((None, "red"), (1, "green")),
            required=True,
        ),
        Panel(
            title="Registry lookup time, hit and miss",
            description=(
                "Lookups over the time shown by how long they took: a hit comes from the index, a miss loads "
                "from the server. Misses far to the right are slow servers."
            ),
            kind="histogram",
            unit="short",
            queries=(
                PanelQuery(
                    expression=f'sum by (le) (increase({lookups}{{{TARGET},outcome="hit"}}[$__range]))',
                    legend="hit {{le}} s",
                    instant=True,
                    buckets=True,
                ),
                PanelQuery(
                    expression=f'sum by (le) (increase({lookups}{{{TARGET},outcome="miss"}}[$__range]))',
                    legend="miss {{le}} s",
                    instant=True,
                    buckets=True,
                ),
            ),
            required=True,
        ),
    )


def _errors() -> PanelRow:
    return row(
        "Errors",
        Panel(
            title="Error rate by tool and kind",
            description=(
                "Failed executions per second. connection: the server was not reached; validation: the arguments "
                "did not fit; execution: the tool said so itself; timeout: no answer in time."
            ),
            unit="cps",
            queries=(
                PanelQuery(
                    expression=(
                        "sum by (server_id, tool_name, error_kind) "
                        f"(rate(mcp_tool_errors_total{{{TOOL}}}[$__rate_interval]))"
                    ),
                    measure=Measure(
                        of="tools",
                        stat="rate",
                        by=("server_id", "tool_name", "error_kind"),
                        where=(("error_kind", "!"),),
                    ),
                    legend="{{server_id}}/{{tool_name}} {{error_kind}}",
                    top=_most("mcp_tool_errors_total"),
                ),
            ),
            width=24,
            stacked=True,
            required=True,
        ),
    )


def _calls(settings: AlertsSettings) -> PanelRow:
    bound = number(settings.tool_seconds)
    per_tool = "sum by (server_id, tool_name)"
    return row(
        "Calls",
        Panel(
            title="Success ratio",
            description="Share of tool executions that succeeded; those that the caller cancelled are left out.",
            kind="stat",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=(
                        f'sum(rate({_COUNT}{{{TOOL},outcome="success"}}[15m]))'
                        f' / (sum(rate({_COUNT}{{{TOOL},outcome!="cancelled"}}[15m])) > 0)'
                    ),
                    measure=Measure(
                        of="tools", stat="mean", value="success", where=(("outcome", "!cancelled"),), window_seconds=900
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
            description="Tool executions per second. cancelled is the caller's choice, never an error.",
            unit="ops",
            queries=(
                PanelQuery(
                    expression=f"sum by (outcome) (rate({_COUNT}{{{TOOL}}}[$__rate_interval]))",
                    measure=Measure(of="tools", stat="rate", by=("outcome",)),
                    legend="{{outcome}}",
                ),
            ),
            width=10,
            stacked=True,
            colors=OUTCOME_COLORS,
        ),
        Panel(
            title=f"Share of calls over {bound} s",
            description="Exact, because it is a bucket bound; a quantile only guesses between bounds.",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=(
                        f"1 - {per_tool} (rate(mcp_tool_execute_seconds_bucket"
                        f'{{{TOOL},le=~"{bound}(\\\\.0)?"}}[$__rate_interval]))'
                        f" / ({per_tool} (rate({_COUNT}{{{TOOL}}}[$__rate_interval])) > 0)"
                    ),
                    measure=Measure(
                        of="tools",
                        stat="mean",
                        value="slow",
                        by=("server_id", "tool_name"),
                        above=settings.tool_seconds,
                    ),
                    legend="{{server_id}}/{{tool_name}}",
                    top=_most("mcp_tool_execute_seconds_sum"),
                ),
            ),
            width=10,
        ),
    )


def _tools(settings: AlertsSettings) -> PanelRow:
    return row(
        "Tools",
        Panel(
            title="Tool execution p95 in range (server by tool)",
            description="The time shown as one number for each pair of server and tool.",
            kind="table",
            unit="s",
            queries=(
                PanelQuery(
                    expression=_p95("$__range"),
                    instant=True,
                    table=True,
                    measure=Measure(of="tools", stat="p95", value="duration", by=("server_id", "tool_name")),
                ),
            ),
            width=24,
            thresholds=steps((None, "green"), (settings.tool_seconds / 2, "yellow"), (settings.tool_seconds, "red")),
            matrix=("tool_name", "server_id"),
        ),
        folded=True,
    )


def _servers() -> PanelRow:
    return row(
        "Servers",
        Panel(
            title="Active connections over time",
            description="A saw tooth is a server that comes and goes.",
            unit="short",
            queries=(
                PanelQuery(expression=f"sum by (server_id) ({_CONNECTIONS})", legend="{{server_id}}", top=_FEWEST),
            ),
            width=8,
        ),
        Panel(
            title="Connection attempts",
            description="Attempts to connect, by how they ended.",
            unit="cps",
            queries=(
                PanelQuery(
                    expression=(
                        "sum by (server_id, outcome) "
                        f"(rate(mcp_server_connections_total{{{_SERVER}}}[$__rate_interval]))"
                    ),
                    legend="{{server_id}} {{outcome}}",
                    top=most(f"mcp_server_connections_total{{{_SERVER}}}", "server_id"),
                ),
            ),
            width=8,
        ),
        Panel(
            title="Other requests p95",
            description="Requests to the server that run no tool: tools/list, resources/read and so on.",
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        "histogram_quantile(0.95, sum by (le, server_id, method) "
                        f"(rate(mcp_client_operation_seconds_bucket{{{_SERVER}}}[$__rate_interval])))"
                    ),
                    legend="{{server_id}} {{method}}",
                    top=most(f"mcp_client_operation_seconds_sum{{{_SERVER}}}", "server_id", "method"),
                ),
            ),
            width=8,
        ),
        folded=True,
    )


def _registry(settings: AlertsSettings) -> PanelRow:
    lookups = "mcp_tool_registry_lookup_seconds"
    return row(
        "Registry and factories",
        Panel(
            title="Registry miss ratio",
            description="Share of lookups that the index could not answer.",
            unit="percentunit",
            queries=(
                PanelQuery(
                    expression=(
                        f'sum(rate({lookups}_count{{{TARGET},outcome="miss"}}[$__rate_interval]))'
                        f" / (sum(rate({lookups}_count{{{TARGET}}}[$__rate_interval])) > 0)"
                    ),
                    legend="misses",
                ),
            ),
            width=8,
            thresholds=steps((None, "transparent"), (settings.registry_miss_share, "orange")),
        ),
        Panel(
            title="Registry lookups: hits over time",
            description="Each column is a histogram of the lookups in that moment.",
            kind="heatmap",
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        f'sum by (le) (increase({lookups}_bucket{{{TARGET},outcome="hit"}}[$__rate_interval]))'
                    ),
                    legend="{{le}}",
                    buckets=True,
                ),
            ),
            width=8,
        ),
        Panel(
            title="Factory creation time, mean",
            description=(
                "Time to create a provider or a tool, on average since the process began: most are created once. "
                "The mean, because the highest bucket is 10 ms and a quantile cannot show more."
            ),
            unit="s",
            queries=(
                PanelQuery(
                    expression=(
                        f"sum by (factory_type, name) (factory_create_seconds_sum{{{TARGET}}})"
                        f" / (sum by (factory_type, name) (factory_create_seconds_count{{{TARGET}}}) > 0)"
                    ),
                    legend="{{factory_type}}/{{name}}",
                    top=Top(
                        by=("factory_type", "name"),
                        rank=f"sum by (factory_type, name) (factory_create_seconds_sum{{{TARGET}}} @ end())",
                    ),
                ),
            ),
            width=8,
        ),
        folded=True,
    )
