"""The metric families of the MCP side. Those marked `fixed` are required (docs/contract.md); the rest is ours."""

from __future__ import annotations

from typing import Final

from tachograph.records.outcomes import ERROR_KINDS, TOOL_OUTCOMES
from tachograph.signals.family import Family

_EXECUTE_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WHICH: Final = ("server_id", "tool_name")

EXECUTE_SECONDS: Final = Family(
    "mcp_tool_execute_seconds",
    "histogram",
    ("server_id", "tool_name", "outcome"),
    "Duration of one MCP tool execution as its caller saw it.",
    "seconds",
    buckets=_EXECUTE_BUCKETS,
    values={"outcome": TOOL_OUTCOMES},
    fixed=True,
    takes_user_labels=True,
)
ERRORS: Final = Family(
    "mcp_tool_errors_total",
    "counter",
    ("server_id", "tool_name", "error_kind"),
    "MCP tool executions that failed, isError results included.",
    values={"error_kind": ERROR_KINDS},
    fixed=True,
    takes_user_labels=True,
)
CONNECTIONS_ACTIVE: Final = Family(
    "mcp_server_connections_active",
    "gauge",
    ("server_id",),
    "Connections to an MCP server that are open now.",
    fixed=True,
)
REGISTRY_LOOKUP_SECONDS: Final = Family(
    "mcp_tool_registry_lookup_seconds",
    "histogram",
    ("outcome",),
    "Duration of one tool registry lookup: hit from the index, miss with a load from the server.",
    "seconds",
    buckets=(0.00001, 0.0001, 0.001, 0.01, 0.1),
    values={"outcome": ("hit", "miss")},
    zero={"outcome": ("hit", "miss")},
    fixed=True,
)
CONNECTIONS: Final = Family(
    "mcp_server_connections_total",
    "counter",
    ("server_id", "outcome"),
    "Attempts to connect to an MCP server, by how they ended; cancelled: the application gave up.",
    values={"outcome": ("success", "error", "timeout", "cancelled")},
)
OPERATION_SECONDS: Final = Family(
    "mcp_client_operation_seconds",
    "histogram",
    ("server_id", "method", "outcome"),
    "Duration of one MCP client request other than a tool execution (tools/list, resources/read, ...).",
    "seconds",
    buckets=_EXECUTE_BUCKETS,
    values={"outcome": TOOL_OUTCOMES},
)
SERVER_EXECUTE_SECONDS: Final = Family(
    "mcp_server_tool_execute_seconds",
    "histogram",
    ("server_id", "tool_name", "outcome"),
    "Duration of one tool execution as seen from inside the MCP server.",
    "seconds",
    buckets=_EXECUTE_BUCKETS,
    values={"outcome": TOOL_OUTCOMES},
    takes_user_labels=True,
)
SERVER_ERRORS: Final = Family(
    "mcp_server_tool_errors_total",
    "counter",
    ("server_id", "tool_name", "error_kind"),
    "Tool executions that failed, as seen from inside the MCP server.",
    values={"error_kind": ERROR_KINDS},
    takes_user_labels=True,
)

FAMILIES: Final = tuple(family for family in globals().values() if isinstance(family, Family))
"""All of this file."""
