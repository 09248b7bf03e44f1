"""What one finished tool call, a connection or a registry lookup adds to the metrics."""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import Any, Final

from tachograph.mcp.metrics import families as f
from tachograph.records.tool_call import ToolCall
from tachograph.signals.cells import Cell, CellCache, Exemplar, HistogramCell
from tachograph.signals.labels import UNKNOWN
from tachograph.signals.registry import Metrics

_BOUNDS: Final = f.EXECUTE_SECONDS.buckets


class _Bound:
    """The cells of one tool on one server, seen from one side. Making them puts the known label set at zero."""

    __slots__ = ("errors", "seconds")

    def __init__(self, metrics: Metrics, side: str, which: tuple[str, str], extra: tuple[str, ...]) -> None:
        seconds, errors = (
            (f.SERVER_EXECUTE_SECONDS, f.SERVER_ERRORS) if side == "server" else (f.EXECUTE_SECONDS, f.ERRORS)
        )
        self.seconds: dict[str, HistogramCell] = CellCache(
            {outcome: metrics.histogram(seconds, *which, outcome, *extra) for outcome in seconds.values["outcome"]},
            "error",
        )
        self.errors: dict[str, Cell] = CellCache(
            {kind: metrics.cell(errors, *which, kind, *extra) for kind in errors.values["error_kind"]}, "execution"
        )


class MCPMetrics:
    """Adds finished tool calls to the families of `mcp.metrics.families`, and keeps the connections' gauge."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = metrics.lock
        self._keys = metrics.user_labels
        self._bound: dict[Any, _Bound] = {}
        for family in f.FAMILIES:
            metrics.register(family)

    def observe(self, call: ToolCall) -> None:
        """Add one finished tool call."""
        labels = self._user_labels(call) if self._keys else ()
        tool_name = UNKNOWN if call.is_made_up else call.tool_name
        try:
            bound = self._bound[call.side, call.server_id, tool_name, labels]
        except (KeyError, TypeError):
            bound = self._bind(call.side, call.server_id, tool_name, labels)
        seconds = (call.ended_ns - call.started_ns) / 1e9
        index = bisect_left(_BOUNDS, seconds)
        cell = bound.seconds[call.outcome]  # type: ignore[index]  # finished calls have one
        with self._lock:
            values = cell.values
            values[0] += seconds
            values[index + 1] += 1
            if call.error_kind is not None:
                bound.errors[call.error_kind].values[0] += 1
            if call.trace_id:
                if cell.exemplars is None:
                    cell.exemplars = {}
                cell.exemplars[index] = Exemplar(call.trace_id, seconds, time.time(), call.span_id)

    def _user_labels(self, call: ToolCall) -> tuple[str, ...]:
        labels = call.labels
        return tuple([labels.get(key, "") for key in self._keys]) if labels else ("",) * len(self._keys)

    def _bind(self, side: str, server_id: str, tool_name: str, labels: tuple[str, ...]) -> _Bound:
        """Find or make the cells of this tool; only what was admitted as it came is kept by its key."""
        server_id, tool_name, _, *rest = self._metrics.admit(
            f.EXECUTE_SECONDS, (server_id, tool_name, "success", *labels)
        )
        extra = tuple(rest)
        key = (side, server_id, tool_name, extra)
        bound = self._bound.get(key)
        if bound is None:
            with self._lock:
                bound = self._bound.setdefault(key, _Bound(self._metrics, side, (server_id, tool_name), extra))
            self._metrics.grew()
        return bound

    def tool_known(self, server_id: str, tool_name: str) -> None:
        """A tool is about to be used: its label set is at zero, unless the user's labels make it unforeseeable."""
        if not self._keys:
            self._bind("client", server_id, tool_name, ())

    def server_known(self, server_id: str) -> None:
        """A server is configured: it has no connection yet, which is a zero and not an absence."""
        self._metrics.cell(f.CONNECTIONS_ACTIVE, server_id).add(0)
        for outcome in f.CONNECTIONS.values["outcome"]:
            self._metrics.cell(f.CONNECTIONS, server_id, outcome)

    def connection_opened(self, server_id: str) -> None:
        self._metrics.cell(f.CONNECTIONS_ACTIVE, server_id).add(1)

    def connection_closed(self, server_id: str) -> None:
        """One connection fewer; pairs with `connection_opened`. The gauge is never below zero."""
        cell = self._metrics.cell(f.CONNECTIONS_ACTIVE, server_id)
        with self._lock:
            if cell.values[0] > 0:
                cell.values[0] -= 1

    def connect_ended(self, server_id: str, outcome: str) -> None:
        """An attempt to connect ended: success, error, timeout or cancelled."""
        for known in f.CONNECTIONS.values["outcome"]:
            cell = self._metrics.cell(f.CONNECTIONS, server_id, known)
            if known == outcome:
                cell.add()

    def registry_lookup(self, outcome: str, seconds: float) -> None:
        """One registry lookup: hit or miss."""
        self._metrics.histogram(f.REGISTRY_LOOKUP_SECONDS, outcome).observe(seconds)

    def operation(self, server_id: str, method: str, outcome: str, seconds: float) -> None:
        """One client request other than a tool execution."""
        self._metrics.histogram(f.OPERATION_SECONDS, server_id, method, outcome).observe(seconds)
