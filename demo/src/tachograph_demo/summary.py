"""What the demo shows, as numbers: read from the window on the metrics, drawn by `view`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tachograph.llm.metrics import families as llm
from tachograph.mcp.metrics import families as mcp

from .sliding_window import Window

RECENT_SECONDS = 10.0
"""Rates are over this time."""
LONG_SECONDS = 60.0
"""Quantiles, cost per hour and events are over this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model's numbers; rates per second."""

    provider: str
    model: str
    calls: float
    p50_seconds: float | None
    p95_seconds: float | None
    first_token_seconds: float | None
    tokens: float
    usd_per_hour: float
    errors: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """One tool's numbers."""

    server: str
    tool: str
    calls: float
    p95_seconds: float | None
    errors: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything the view shows at one moment."""

    calls_per_second: float
    calls_total: int
    prompt_tokens_per_second: float
    completion_tokens_per_second: float
    cached_share: float | None
    usd_per_hour: float
    usd_total: float
    first_token_p95_seconds: float | None
    models: tuple[ModelRow, ...]
    errors: tuple[tuple[str, str, float, int], ...]
    """Provider, error type, per second, total; the most frequent first."""
    waits: tuple[tuple[str, float, float, int], ...]
    """Provider, seconds waited per second, p95 of a wait, total waits; only providers that waited."""
    tools: tuple[ToolRow, ...]
    connections: tuple[tuple[str, int], ...]
    """Server, open connections."""
    headroom: tuple[tuple[str, str, float], ...]
    """Model, kind of limit, share left; the scarcest first."""

    @property
    def errors_per_second(self) -> float:
        return sum(rate for _, _, rate, _ in self.errors)

    @property
    def waits_total(self) -> int:
        return sum(count for _, _, _, count in self.waits)


def read_board(window: Window) -> Board:
    """All numbers of this moment."""
    models = tuple(_model_row(window, p, m) for p, m in window.values_of(llm.REQUEST_SECONDS, "provider", "model"))
    prompt = window.rate(llm.TOKENS, {"type": "prompt"}, RECENT_SECONDS)
    prompt_total = window.value(llm.TOKENS, {"type": "prompt"})
    cached_total = window.value(llm.TOKEN_DETAILS, {"detail": "cache_read"})
    return Board(
        calls_per_second=window.rate(llm.CALL_SECONDS, None, RECENT_SECONDS),
        calls_total=round(window.value(llm.CALL_SECONDS)),
        prompt_tokens_per_second=prompt,
        completion_tokens_per_second=window.rate(llm.TOKENS, {"type": "completion"}, RECENT_SECONDS),
        cached_share=cached_total / prompt_total if prompt_total else None,
        usd_per_hour=window.rate(llm.COST_USD, None, LONG_SECONDS) * 3600,
        usd_total=window.value(llm.COST_USD),
        first_token_p95_seconds=window.quantile(0.95, llm.FIRST_TOKEN_SECONDS, None, LONG_SECONDS),
        models=models,
        errors=_errors(window),
        waits=_waits(window),
        tools=tuple(
            _tool_row(window, server, tool)
            for server, tool in window.values_of(mcp.EXECUTE_SECONDS, "server_id", "tool_name")
            if window.value(mcp.EXECUTE_SECONDS, {"server_id": server, "tool_name": tool})
        ),
        connections=tuple(
            (server, round(window.value(mcp.CONNECTIONS_ACTIVE, {"server_id": server})))
            for (server,) in window.values_of(mcp.CONNECTIONS_ACTIVE, "server_id")
        ),
        headroom=_headroom(window),
    )


def _model_row(window: Window, provider: str, model: str) -> ModelRow:
    who = {"provider": provider, "model": model}
    return ModelRow(
        provider=provider,
        model=model,
        calls=window.rate(llm.CALL_SECONDS, who, LONG_SECONDS),
        p50_seconds=window.quantile(0.5, llm.REQUEST_SECONDS, who, LONG_SECONDS),
        p95_seconds=window.quantile(0.95, llm.REQUEST_SECONDS, who, LONG_SECONDS),
        first_token_seconds=window.quantile(0.95, llm.FIRST_TOKEN_SECONDS, who, LONG_SECONDS),
        tokens=window.rate(llm.TOKENS, who, LONG_SECONDS),
        usd_per_hour=window.rate(llm.COST_USD, who, LONG_SECONDS) * 3600,
        errors=window.rate(llm.ERRORS, who, LONG_SECONDS),
    )


def _errors(window: Window) -> tuple[tuple[str, str, float, int], ...]:
    found = []
    for provider, kind in window.values_of(llm.ERRORS, "provider", "error_type"):
        match = {"provider": provider, "error_type": kind}
        total = round(window.value(llm.ERRORS, match))
        if total:
            found.append((provider, kind, window.rate(llm.ERRORS, match, LONG_SECONDS), total))
    return tuple(sorted(found, key=lambda row: (-row[2], -row[3])))


def _waits(window: Window) -> tuple[tuple[str, float, float, int], ...]:
    found = []
    for (provider,) in window.values_of(llm.RATE_LIMIT_DELAYS, "provider"):
        who = {"provider": provider}
        count = round(window.value(llm.RATE_LIMIT_DELAYS, who))
        if count:
            per_second = window.sum_rate(llm.RATE_LIMIT_DELAYS, who, LONG_SECONDS)
            p95 = window.quantile(0.95, llm.RATE_LIMIT_DELAYS, who, LONG_SECONDS) or 0.0
            found.append((provider, per_second, p95, count))
    return tuple(found)


def _tool_row(window: Window, server: str, tool: str) -> ToolRow:
    which = {"server_id": server, "tool_name": tool}
    return ToolRow(
        server=server,
        tool=tool,
        calls=window.rate(mcp.EXECUTE_SECONDS, which, LONG_SECONDS),
        p95_seconds=window.quantile(0.95, mcp.EXECUTE_SECONDS, which, LONG_SECONDS),
        errors=window.rate(mcp.ERRORS, which, LONG_SECONDS),
    )


def _headroom(window: Window) -> tuple[tuple[str, str, float], ...]:
    found = []
    for provider, model, kind in window.values_of(llm.RATE_LIMIT_LIMIT, "provider", "model", "kind"):
        which = {"provider": provider, "model": model, "kind": kind}
        limit = window.value(llm.RATE_LIMIT_LIMIT, which)
        if limit > 0:
            found.append((model, kind, window.value(llm.RATE_LIMIT_REMAINING, which) / limit))
    return tuple(sorted(found, key=lambda row: row[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the view shows besides the metrics."""

    elapsed_seconds: float
    rate: float
    seed: int
    addresses: Sequence[tuple[str, str]]
    """Name and address of what can be opened: /metrics, the console."""
    news: Sequence[tuple[float, str]] = ()
    """What has happened so far, and when (seconds since the start)."""
    incident: str | None = None
    incident_phase: str = ""
    """`in 12 s`, `since 30 s`, `over`."""
