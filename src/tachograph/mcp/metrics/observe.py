"""What one finished tool call, a connection or a registry lookup adds to the metrics."""

from __future__ import annotations

import time

from tachograph.mcp.metrics import families as f
from tachograph.records.tool_call import ToolCall
from tachograph.signals.registry import Exemplar, Metrics


class MCPMetrics:
    """Adds finished tool calls to the families of `mcp.metrics.families`, and keeps the connections' gauge."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for family in f.FAMILIES:
            metrics.register(family)

    def observe(self, call: ToolCall) -> None:
        """Add one finished tool call."""
        seconds_family, errors_family = (
            (f.SERVER_EXECUTE_SECONDS, f.SERVER_ERRORS) if call.side == "server" else (f.EXECUTE_SECONDS, f.ERRORS)
        )
        exemplar = None
        if call.trace_id:
            exemplar = Exemplar(f"{call.trace_id:032x}", call.duration_seconds, time.time())
        outcome = call.outcome or "error"
        self._metrics.histogram(seconds_family, call.server_id, call.tool_name, outcome).observe(
            call.duration_seconds, exemplar
        )
        if call.error_kind is not None:
            self._metrics.cell(errors_family, call.server_id, call.tool_name, call.error_kind).add()

    def connection_opened(self, server_id: str) -> None:
        """One more connection to this server is open."""
        self._metrics.cell(f.CONNECTIONS_ACTIVE, server_id).add(1)

    def connection_closed(self, server_id: str) -> None:
        """One connection fewer; pairs with `connection_opened`, so that the gauge is never below zero."""
        self._metrics.cell(f.CONNECTIONS_ACTIVE, server_id).add(-1)

    def connect_ended(self, server_id: str, outcome: str) -> None:
        """An attempt to connect ended: success, error or timeout."""
        self._metrics.cell(f.CONNECTIONS, server_id, outcome).add()

    def registry_lookup(self, outcome: str, seconds: float) -> None:
        """One registry lookup: hit or miss."""
        self._metrics.histogram(f.REGISTRY_LOOKUP_SECONDS, outcome).observe(seconds)

    def operation(self, server_id: str, method: str, outcome: str, seconds: float) -> None:
        """One client request other than a tool execution."""
        self._metrics.histogram(f.OPERATION_SECONDS, server_id, method, outcome).observe(seconds)
