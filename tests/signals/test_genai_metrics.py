"""OpenTelemetry's own names over OTLP: instead of the contract's, or beside them."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from support.traffic import llm_call, tool_call
from tachograph import runtime
from tachograph.recorder import Recorder
from tachograph.records import Cost, Usage
from tachograph.runs import run
from tachograph.settings import load

NAMES = {
    "gen_ai.client.inference.duration",
    "gen_ai.client.inference.time_to_first_chunk",
    "gen_ai.client.inference.operation.input_tokens",
    "gen_ai.client.inference.operation.output_tokens",
    "gen_ai.client.inference.usage.input_tokens",
    "gen_ai.client.inference.usage.output_tokens",
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "gen_ai.client.inference.usage.reasoning.output_tokens",
    "gen_ai.execute_tool.duration",
    "mcp.client.operation.duration",
}


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """Of an application's MeterProvider, set for the process during the test."""
    made = InMemoryMetricReader()
    monkeypatch.setattr(
        "opentelemetry.metrics._internal._METER_PROVIDER", MeterProvider([made], shutdown_on_exit=False)
    )
    return made


def recorder(names: str) -> Recorder:
    settings = load({"ledger": {"enabled": False}, "otlp": {"names": names}}, environ={}, read_file=False)
    made = runtime.build(settings)
    assert made.otlp is not None
    made.otlp.attach()
    return made


def streamed_call(here: Recorder) -> None:
    """One call of 0.3 s, its first content after 0.1 s, with parts of its tokens."""
    call = here.start_llm_call("gemini", "gemini-2.5-pro", stream=True)
    call.server_address, call.server_port = "generativelanguage.googleapis.com", 443
    call.response_model = "gemini-2.5-pro-002"
    call.first_token_ns = call.started_ns + 100_000_000
    call.usage = Usage(100, 40, {"cache_read": 60, "audio_input": 30, "reasoning": 25})
    call.cost = Cost(1, "priced")
    call.finish("success", ended_ns=call.started_ns + 300_000_000)


def collected(reader: InMemoryMetricReader) -> dict[str, dict[str, Any]]:
    """Metrics by scope and name."""
    data = reader.get_metrics_data()
    return {
        scope.scope.name: {metric.name: metric for metric in scope.metrics}
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
    }


def test_each_name_of_the_conventions_has_its_value_and_the_contract_s_names_stay_away(
    reader: InMemoryMetricReader,
) -> None:
    here = recorder("genai")
    streamed_call(here)
    tool_call(here)
    found = collected(reader)
    assert set(found) == {"tachograph.genai"}
    metrics = found["tachograph.genai"]
    assert set(metrics) == NAMES
    (point,) = metrics["gen_ai.client.inference.duration"].data.data_points
    assert dict(point.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-2.5-pro",
        "gen_ai.response.model": "gemini-2.5-pro-002",
        "server.address": "generativelanguage.googleapis.com",
        "server.port": 443,
    }
    assert (point.count, point.sum) == (1, pytest.approx(0.3))
    assert point.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    (first,) = metrics["gen_ai.client.inference.time_to_first_chunk"].data.data_points
    assert first.sum == pytest.approx(0.1)
    tokens = metrics["gen_ai.client.inference.usage.input_tokens"].data.data_points
    assert {p.attributes["gen_ai.token.modality"]: p.value for p in tokens} == {"audio": 30, "text": 70}
    (output,) = metrics["gen_ai.client.inference.usage.output_tokens"].data.data_points
    assert (output.attributes["gen_ai.token.modality"], output.value) == ("unknown", 40)
    (cached,) = metrics["gen_ai.client.inference.usage.cache_read.input_tokens"].data.data_points
    assert cached.value == 60
    (tool,) = metrics["mcp.client.operation.duration"].data.data_points
    assert dict(tool.attributes) == {"mcp.method.name": "tools/call", "gen_ai.tool.name": "get_time"}
    (tool,) = metrics["gen_ai.execute_tool.duration"].data.data_points
    assert dict(tool.attributes) == {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_time"}


def test_both_names_go_out_side_by_side(reader: InMemoryMetricReader) -> None:
    here = recorder("both")
    llm_call(here)
    found = collected(reader)
    assert "llm_call_seconds" in found["tachograph"]
    assert "gen_ai.client.inference.duration" in found["tachograph.genai"]


def test_a_failed_call_says_its_error_type_and_no_tokens(reader: InMemoryMetricReader) -> None:
    here = recorder("genai")
    call = here.start_llm_call("openai", "gpt-5")
    call.finish("error", "quota")
    metrics = collected(reader)["tachograph.genai"]
    assert set(metrics) == {"gen_ai.client.inference.duration"}
    (point,) = metrics["gen_ai.client.inference.duration"].data.data_points
    assert point.attributes["error.type"] == "quota"


def test_models_beyond_two_hundred_share_one_series(reader: InMemoryMetricReader) -> None:
    here = recorder("genai")
    for number in range(203):
        llm_call(here, model=f"made-up-{number}")
    points = collected(reader)["tachograph.genai"]["gen_ai.client.inference.duration"].data.data_points
    assert len(points) == 201
    (other,) = [point for point in points if point.attributes["gen_ai.request.model"] == "other"]
    assert other.count == 3


def test_a_run_counts_its_calls_by_the_agent_s_name(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = recorder("genai")
    monkeypatch.setattr(runtime, "recorder_in_place", here)
    with run("refund-agent"):
        llm_call(here)
        llm_call(here)
        tool_call(here)
    metrics = collected(reader)["tachograph.genai"]
    (calls,) = metrics["gen_ai.invoke_agent.inference_calls"].data.data_points
    (tools,) = metrics["gen_ai.invoke_agent.tool_calls"].data.data_points
    assert (dict(calls.attributes), calls.sum, tools.sum) == ({"gen_ai.agent.name": "refund-agent"}, 2, 1)
    (duration,) = metrics["gen_ai.invoke_agent.duration"].data.data_points
    assert duration.count == 1


def test_nothing_changes_by_default(reader: InMemoryMetricReader) -> None:
    here = recorder("contract")
    llm_call(here)
    assert set(collected(reader)) == {"tachograph"}
