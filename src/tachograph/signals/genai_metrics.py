"""Metrics by OpenTelemetry's GenAI and MCP conventions, beside or instead of the contract's, where `otlp.names` asks.

They go out over OTLP only, through instruments of the SDK, so that views and temporality of the application's
MeterProvider apply. They are recorded in the drain, from the projection of a finished record.

Source: open-telemetry/semantic-conventions-genai, docs/gen-ai/client-inference.md and docs/mcp, main of 2026-11-23 (it
has no release yet); checked 2026-11-27. Each point carries the version of these names as an attribute of its scope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tachograph.records import LLMCall, ToolCall
from tachograph.records.projection import Projection, project
from tachograph.records.run import Run
from tachograph.signals import semconv as s
from tachograph.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram

SCOPE: Final = "tachograph.genai"
CONVENTIONS: Final = "semantic-conventions-genai 2026-11-23"
MOST_MODELS: Final = 200
"""Further models become `other`: names come from outside, and each is a series."""

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))
_MCP_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_CALLS: Final = (1, 2, 5, 10, 20, 50, 100, 200)
_INFERENCE: Final = "gen_ai.client.inference"
_MODALITIES: Final = ("audio", "image", "video")


class GenAIMetrics:
    """A listener of the recorder: adds each finished call to the instruments.

    Args:
        find_provider: The SDK MeterProvider that metrics go out by now, or None.
    """

    def __init__(self, find_provider: Callable[[], Any]) -> None:
        self._find_provider = find_provider
        self._provider: Any = None
        self._meter: Any = None
        self._instruments: dict[str, Any] = {}
        self._models: set[str] = set()

    def __call__(self, record: LLMCall | ToolCall) -> None:
        """Add a finished record."""
        if not self._is_ready():
            return
        row = project(record)
        if isinstance(record, ToolCall):
            side = "server" if record.side == "server" else "client"
            attributes = {s.MCP_METHOD_NAME: "tools/call", s.TOOL_NAME: self._bounded(row.model)}
            self._seconds(f"mcp.{side}.operation.duration", row.latency_us, _with_error(attributes, row), _MCP_SECONDS)
            if side == "client":
                attributes = {s.OPERATION_NAME: "execute_tool", s.TOOL_NAME: attributes[s.TOOL_NAME]}
                self._seconds("gen_ai.execute_tool.duration", row.latency_us, _with_error(attributes, row), _SECONDS)
        else:
            self._add_inference(record, row)

    def close_run(self, run: Run, seconds: float, error: BaseException | None) -> None:
        """Add a finished run of an agent."""
        if not self._is_ready():
            return
        attributes = {s.OPERATION_NAME: "invoke_agent", s.AGENT_NAME: run.agent or "unknown"}
        if error is not None:
            attributes[s.ERROR_TYPE] = type(error).__name__
        self._histogram("gen_ai.invoke_agent.duration", "s", _SECONDS).record(seconds, attributes)
        tally = run.tally
        if tally is not None:
            name = {s.AGENT_NAME: run.agent or "unknown"}
            self._histogram("gen_ai.invoke_agent.inference_calls", "{call}", _CALLS).record(tally.calls, name)
            self._histogram("gen_ai.invoke_agent.tool_calls", "{call}", _CALLS).record(tally.tool_calls, name)

    def _add_inference(self, call: LLMCall, row: Projection) -> None:
        who: dict[str, Any] = {
            s.OPERATION_NAME: row.operation,
            s.PROVIDER_NAME: s.provider_name(row.provider, call.server_address),
            s.REQUEST_MODEL: self._bounded(row.model),
        }
        if row.response_model:
            who[s.RESPONSE_MODEL] = self._bounded(row.response_model)
        if call.server_address:
            who[s.SERVER_ADDRESS] = call.server_address
            if call.server_port:
                who[s.SERVER_PORT] = call.server_port
        self._seconds(f"{_INFERENCE}.duration", row.latency_us, _with_error(who, row), _SECONDS)
        if row.stream and row.ttft_us is not None:
            self._seconds(f"{_INFERENCE}.time_to_first_chunk", row.ttft_us, who, _SECONDS)
        if not row.counted:
            return
        details = row.details or {}
        for kind, total in (("input", row.input_tokens), ("output", row.output_tokens)):
            if total is None:
                continue
            self._histogram(f"{_INFERENCE}.operation.{kind}_tokens", "{token}", _TOKENS).record(total, who)
            self._count(f"{_INFERENCE}.usage.{kind}_tokens", total, details, kind, who)
        for part, kind in (("cache_read", "input"), ("cache_write", "input"), ("reasoning", "output")):
            if details.get(part):
                self._add(f"{_INFERENCE}.usage.{part}.{kind}_tokens", details[part], {**who, s.MODALITY: "unknown"})

    def _count(self, name: str, total: int, details: dict[str, int], kind: str, who: dict[str, Any]) -> None:
        """Add the tokens by modality; what no vendor distinguished is `unknown`."""
        rest = total
        for modality in _MODALITIES:
            part = min(details.get(f"{modality}_{kind}", 0), rest)
            if part:
                self._add(name, part, {**who, s.MODALITY: modality})
                rest -= part
        if rest:
            self._add(name, rest, {**who, s.MODALITY: "text" if rest < total else "unknown"})

    def _bounded(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= MOST_MODELS:
                return "other"
            self._models.add(model)
        return model

    def _is_ready(self) -> bool:
        provider = self._find_provider()
        if provider is not self._provider:
            self._provider, self._instruments = provider, {}
            if provider is not None:
                self._meter = provider.get_meter(SCOPE, __version__, attributes={"conventions": CONVENTIONS})
        return provider is not None

    def _seconds(self, name: str, microseconds: int, attributes: dict[str, Any], bounds: tuple[float, ...]) -> None:
        self._histogram(name, "s", bounds).record(microseconds / 1e6, attributes)

    def _histogram(self, name: str, unit: str, bounds: tuple[float, ...]) -> Histogram:
        if name not in self._instruments:
            self._instruments[name] = self._meter.create_histogram(
                name, unit, explicit_bucket_boundaries_advisory=bounds
            )
        made: Histogram = self._instruments[name]
        return made

    def _add(self, name: str, amount: int, attributes: dict[str, Any]) -> None:
        made = self._instruments.get(name)
        if made is None:
            made = self._instruments[name] = self._meter.create_counter(name, "{token}")
        made.add(amount, attributes)


def _with_error(attributes: dict[str, Any], row: Projection) -> dict[str, Any]:
    return attributes if row.error_type is None else {**attributes, s.ERROR_TYPE: row.error_type}
