"""OTLP/HTTP: any sender's spans and metrics, in either encoding, and what the sender is answered."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.console_client import Client
from support.simulators import simulators, simulators_process  # noqa: F401
from tachograph.console import RunningConsole
from tachograph.console.ingest.otlp.metrics import label_name, metric_name
from tachograph.console.ingest.otlp.traces import error_type

SUPPORT = Path(__file__).parents[1] / "support"
TRACE, SPAN = "0123456789abcdef0123456789abcdef", "0123456789abcdef"


def attribute(key: str, value: Any) -> dict[str, Any]:
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value), "stringValue")
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def span(name: str = "chat m", *, span_id: str = SPAN, attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    start = time.time_ns() - 5_000_000_000
    return {
        "traceId": TRACE, "spanId": span_id, "name": name, "kind": 3, "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 2_000_000_000), "attributes": [attribute(*pair) for pair in attributes.items()],
        **more,
    }  # fmt: skip


def traces(*spans: dict[str, Any], service: str = "app") -> bytes:
    resource = {"attributes": [attribute("service.name", service)]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def only_call(client: Client, body: bytes) -> dict[str, Any]:
    answer = client.post("/v1/traces", body, "application/json")
    assert (answer.status, answer.json) == (200, {})
    calls = client.get("/api/console/calls")["calls"]
    assert len(calls) == 1
    return dict(calls[0])


GENERATIONS = {
    "A, up to 1.36": {
        "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.usage.prompt_tokens": 12,
        "gen_ai.usage.completion_tokens": 5, "gen_ai.operation.name": "chat",
    },
    "B, 1.37 to 1.41": {
        "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5, "gen_ai.operation.name": "chat",
        "gen_ai.usage.cache_read.input_tokens": 4,
    },
    "C, the GenAI repository": {
        "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5, "gen_ai.operation.name": "chat", "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.25, "gen_ai.usage.reasoning.output_tokens": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize("generation", GENERATIONS)
def test_calls_of_every_generation_of_the_conventions_are_read(client: Client, generation: str) -> None:
    attributes = GENERATIONS[generation]
    call = only_call(client, traces(span(attributes=attributes)))
    wanted = {
        "kind": "llm", "provider": "openai", "model": "gpt-5", "operation": "chat", "outcome": "success",
        "input_tokens": 12, "output_tokens": 5, "duration_seconds": 2.0, "service": "app", "trace_id": TRACE,
        "span_id": SPAN, "attempts": 1,
        "cached_tokens": attributes.get("gen_ai.usage.cache_read.input_tokens"),
        "reasoning_tokens": attributes.get("gen_ai.usage.reasoning.output_tokens"),
        "first_token_seconds": attributes.get("gen_ai.response.time_to_first_chunk"),
        "stream": "gen_ai.request.stream" in attributes,
    }  # fmt: skip
    assert {key: call[key] for key in wanted} == wanted
    assert float(call["cost_usd"]) > 0


def test_our_own_span_brings_its_attempts_waits_labels_and_cost(client: Client) -> None:
    own = span(
        "llm.complete",
        attributes={
            "provider": "openai", "model": "gpt-5", "prompt_tokens": 9, "completion_tokens": 2,
            "tachograph.call_id": "00" * 15 + "07", "tachograph.cost.usd": 0.00012, "tachograph.cost.quality": "priced",
            "tachograph.label.team": "search",
        },
    )  # fmt: skip
    start = int(own["startTimeUnixNano"])
    own["events"] = [
        {
            "name": "llm.attempt", "timeUnixNano": str(start + 300_000_000),
            "attributes": [
                attribute("number", 1), attribute("outcome", "rate_limited"), attribute("seconds", 0.3),
                attribute("http.response.status_code", 429), attribute("error_type", "rate_limit"),
                attribute("retry_after_seconds", 1.0),
            ],
        },
        {"name": "llm.rate_limit_wait", "timeUnixNano": str(start), "attributes": [attribute("seconds", 1.2)]},
        {
            "name": "llm.attempt", "timeUnixNano": str(start + 2_000_000_000),
            "attributes": [attribute("number", 2), attribute("outcome", "success"), attribute("seconds", 0.5)],
        },
    ]  # fmt: skip
    call = only_call(client, traces(own))
    assert call["id"] == "00" * 15 + "07"
    assert (call["cost_usd"], call["cost_quality"], call["labels"]) == ("0.00012", "priced", {"team": "search"})
    assert (call["attempts"], call["wait_seconds"], call["input_tokens"]) == (2, 1.2, 9)
    first, second = client.get(f"/api/console/calls/{call['id']}")["attempts"]
    assert first == {
        "number": 1, "start_offset": 0.0, "duration_seconds": 0.3, "status": 429, "outcome": "rate_limited",
        "error_type": "rate_limit", "retry_after_seconds": 1.0, "slept_seconds": 1.2,
        "waited_before_seconds": 0.0,
    }  # fmt: skip
    assert (second["start_offset"], second["outcome"]) == (1.5, "success")


def test_tool_calls_are_read_and_agents_are_not_calls(client: Client) -> None:
    spans = [
        span("mcp.tool.execute", span_id="a" * 16, attributes={"server_id": "git", "tool_name": "log"}),
        span("x", span_id="b" * 16, attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"}),
        span("tools/call y", span_id="c" * 16, attributes={"mcp.method.name": "tools/call", "gen_ai.tool.name": "y"}),
        span("invoke_agent z", span_id="d" * 16, attributes={"gen_ai.operation.name": "invoke_agent"}),
        span("GET /", span_id="e" * 16, attributes={"http.request.method": "GET"}),
    ]  # fmt: skip
    assert client.post("/v1/traces", traces(*spans), "application/json").status == 200
    calls = client.get("/api/console/calls")["calls"]
    assert [(c["kind"], c["server_id"], c["tool_name"]) for c in reversed(calls)] == [
        ("tool", "git", "log"), ("tool", "unknown", "x"), ("tool", "unknown", "y"),
    ]  # fmt: skip
    assert len(client.get(f"/api/console/traces/{TRACE}")["spans"]) == 5


def test_a_failed_call_says_how(client: Client) -> None:
    failed = span(
        attributes={**GENERATIONS["B, 1.37 to 1.41"], "error.type": "RateLimitError"},
        status={"code": 2, "message": "Error code: 429"},
    )
    call = only_call(client, traces(failed))
    assert (call["outcome"], call["error_type"]) == ("rate_limited", "rate_limit")
    assert client.get(f"/api/console/calls/{call['id']}")["error"] == "RateLimitError: Error code: 429"


def test_a_call_that_another_library_s_span_calls_cancelled_is_no_error(client: Client) -> None:
    left = span(
        attributes={**GENERATIONS["B, 1.37 to 1.41"], "error.type": "asyncio.exceptions.CancelledError"},
        status={"code": 2, "message": ""},
    )
    call = only_call(client, traces(left))
    assert (call["outcome"], call["error_type"]) == ("cancelled", None)


@pytest.mark.parametrize(
    ("kind", "message", "word"),
    [
        ("openai.APITimeoutError", "", "timeout"),
        ("429", "", "rate_limit"),
        ("AuthenticationError", "", "auth"),
        ("InternalServerError", "", "server_error"),
        ("overloaded_error", "", "server_error"),
        ("BadRequestError", "", "invalid_request"),
        ("APIConnectionError", "", "connection"),
        ("_OTHER", "", "unknown"),
        ("_OTHER", "HTTP 503 Service Unavailable", "server_error"),
    ],
)
def test_errors_of_others_get_the_contract_s_words(kind: str, message: str, word: str) -> None:
    assert error_type(kind, message) == word


def test_the_same_span_sent_twice_is_one_call(client: Client) -> None:
    body = traces(span(attributes=GENERATIONS["A, up to 1.36"]))
    only_call(client, body)
    only_call(client, body)


def test_unusable_spans_are_counted_in_the_answer(client: Client) -> None:
    bad = span(attributes={}, traceId="00")
    answer = client.post("/v1/traces", traces(bad, span(attributes={})), "application/json")
    assert answer.json == {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 were not usable"}}


def test_protobuf_gzip_and_json_give_the_same(client: Client) -> None:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    body = traces(span(attributes={**GENERATIONS["C, the GenAI repository"], "list": "x", "negative": -5}))
    raw = json.loads(body)
    one = raw["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    # protobuf's own JSON has base64 where OTLP's has hex.
    import base64

    for name in ("traceId", "spanId"):
        one[name] = base64.b64encode(bytes.fromhex(one[name])).decode()
    message = json_format.ParseDict(raw, service.ExportTraceServiceRequest())
    packed = gzip.compress(message.SerializeToString())
    answer = client.post("/v1/traces", packed, "application/x-protobuf", **{"Content-Encoding": "gzip"})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    from_protobuf = client.get(f"/api/console/traces/{TRACE}")
    call = client.get("/api/console/calls")["calls"][0]
    assert (call["model"], call["first_token_seconds"]) == ("gpt-5", 0.25)
    assert from_protobuf["spans"][0]["attributes"]["negative"] == -5

    refused = service.ExportTraceServiceResponse()
    message.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
    refused.ParseFromString(client.post("/v1/traces", message.SerializeToString(), "application/x-protobuf").body)
    assert refused.partial_success.rejected_spans == 1


def metrics(*found: dict[str, Any]) -> bytes:
    resource = {"attributes": [attribute("service.name", "shop"), attribute("service.instance.id", "1")]}
    return json.dumps(
        {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": list(found)}]}]}
    ).encode()


def point(value: float, seconds_ago: float = 0, **more: Any) -> dict[str, Any]:
    return {"timeUnixNano": str(time.time_ns() - int(seconds_ago * 1e9)), "asDouble": value, **more}


def query(client: Client, text: str) -> list[tuple[dict[str, str], float]]:
    return [
        (one["metric"], float(one["value"][1])) for one in client.get("/api/v1/query", query=text)["data"]["result"]
    ]


def test_metrics_become_series_with_prometheus_names(client: Client) -> None:
    body = metrics(
        {"name": "http.requests", "sum": {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": [point(5)]}},
        {"name": "queue.size", "unit": "By", "gauge": {"dataPoints": [point(7, attributes=[attribute("a.b", "c")])]}},
        {
            "name": "call.duration", "unit": "s",
            "histogram": {
                "aggregationTemporality": 2,
                "dataPoints": [
                    {"timeUnixNano": str(time.time_ns()), "count": "3", "sum": 4.5, "bucketCounts": ["1", "1", "1"],
                     "explicitBounds": [0.5, 2]},
                ],
            },
        },
        {"name": "odd", "exponentialHistogram": {"dataPoints": [{}, {}]}},
    )  # fmt: skip
    answer = client.post("/v1/metrics", body, "application/json")
    assert answer.json["partialSuccess"]["rejectedDataPoints"] == "2"
    target = {"job": "shop", "instance": "1"}
    assert query(client, "http_requests_total") == [({"__name__": "http_requests_total", **target}, 5.0)]
    assert query(client, "queue_size_bytes") == [({"__name__": "queue_size_bytes", "a_b": "c", **target}, 7.0)]
    assert [(m["le"], v) for m, v in query(client, "sort(call_duration_seconds_bucket)")] == [
        ("0.5", 1.0), ("2.0", 2.0), ("+Inf", 3.0),
    ]  # fmt: skip
    assert query(client, "call_duration_seconds_sum / call_duration_seconds_count")[0][1] == 1.5


def test_delta_sums_are_added_up(client: Client) -> None:
    for ago in (20, 10, 0):
        one = {"name": "n", "sum": {"isMonotonic": True, "aggregationTemporality": 1, "dataPoints": [point(5, ago)]}}
        assert client.post("/v1/metrics", metrics(one), "application/json").json == {}
    assert query(client, "n_total")[0][1] == 15.0
    assert query(client, "resets(n_total[1m])")[0][1] == 0.0


@pytest.mark.parametrize(
    ("name", "unit", "kind", "wanted"),
    [
        ("llm_provider_request_seconds", "s", "histogram", "llm_provider_request_seconds"),
        ("llm_provider_tokens_total", "", "counter", "llm_provider_tokens_total"),
        ("gen_ai.client.token.usage", "{token}", "histogram", "gen_ai_client_token_usage"),
        ("system.cpu.utilization", "1", "gauge", "system_cpu_utilization_ratio"),
        ("disk.io", "By", "counter", "disk_io_bytes_total"),
        ("speed", "m/s", "gauge", "speed_meters_per_second"),
        ("a total thing", "", "counter", "a_thing_total"),
        ("3com", "", "gauge", "_3com"),
    ],
)
def test_names_are_translated_as_prometheus_translates_them(name: str, unit: str, kind: str, wanted: str) -> None:
    assert metric_name(name, unit, counter=kind == "counter", gauge=kind == "gauge") == wanted
    assert label_name("1st.key-x") == "key_1st_key_x"


def test_points_from_the_far_past_or_future_are_refused(client: Client) -> None:
    for ago in (10 * 86_400, -86_400):
        one = {"name": "n", "gauge": {"dataPoints": [point(5, ago)]}}
        assert client.post("/v1/metrics", metrics(one), "application/json").json["partialSuccess"]


def test_an_application_with_only_the_endpoint_set_shows_up(running: RunningConsole, client: Client) -> None:
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": running.url.rstrip("/")}
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "otlp_app.py")],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls = client.get("/api/console/calls")["calls"]
    assert [(c["provider"] or c["tool_name"], c["outcome"], c["service"]) for c in reversed(calls)] == [
        ("openai", "success", "shop"), ("anthropic", "rate_limited", "shop"), ("get_time", "success", "shop"),
    ]  # fmt: skip
    trace = client.get(f"/api/console/traces/{calls[0]['trace_id']}")
    assert {s["name"] for s in trace["spans"]} >= {"handle request", "chat gpt-5"}
    assert query(client, "orders_total")[0][1] == 3.0
    assert [source["service"] for source in client.get("/api/console/status")["otlp"]] == ["shop"]


def test_an_application_watched_by_opentelemetry_s_own_instrumentation_shows_up(
    running: RunningConsole,
    client: Client,
    simulators: Any,  # noqa: F811 - the fixture
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.genai.openai", reason="install the extra dev to have it")
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": running.url.rstrip("/")}
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "otlp_openai_app.py"), simulators.openai.url],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (call,) = client.get("/api/console/calls")["calls"]
    assert (call["provider"], call["model"], call["operation"], call["service"]) == (
        "openai", "gpt-5", "chat", "watched-by-otel",
    )  # fmt: skip
    served = simulators.served.totals()["openai", "gpt-5"].usage
    assert (call["input_tokens"], call["output_tokens"]) == (served.prompt, served.completion)


def test_a_sender_that_never_stops_stays_within_the_bounds(running: RunningConsole, client: Client) -> None:
    store, calls = running.console.store, running.console.calls
    store.max_series, calls.max_calls, calls.max_spans = 500, 1000, 1000
    for batch in range(12):
        many = [{"name": f"m{batch}_{i}", "gauge": {"dataPoints": [point(1)]}} for i in range(200)]
        client.post("/v1/metrics", metrics(*many), "application/json")
        huge = {"gen_ai.system": "x", "gen_ai.request.model": "y" * 5000}
        spans = [span(span_id=f"{batch * 1000 + i + 1:016x}", attributes=huge) for i in range(300)]
        client.post("/v1/traces", traces(*spans), "application/json")
    assert store.series_count <= 500
    assert store.refused_series > 0
    assert calls.count <= 1020
    assert len(client.get("/api/console/calls?limit=1")["calls"][0]["model"]) <= 512


def test_one_metric_of_an_unknown_type_does_not_refuse_the_batch(client: Client) -> None:
    pytest.importorskip("opentelemetry.proto")
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
    )

    now = time.time_ns()
    message = ExportMetricsServiceRequest()
    scope = message.resource_metrics.add().scope_metrics.add()
    exponential = scope.metrics.add(name="latency")
    point = exponential.exponential_histogram.data_points.add(time_unix_nano=now, count=3, sum=3.6, scale=-2)
    point.positive.bucket_counts.extend([1, 2])
    known = scope.metrics.add(name="orders")
    known.sum.is_monotonic = True
    known.sum.data_points.add(time_unix_nano=now, as_int=5)
    packed = message.SerializeToString()
    to_come = b"\x0a\x02hi" + b"\x7a\x04\x08\x01\x10\x02"  # a metric whose data is in a field that is new
    torn = b"\x0a\x01x" + b"\x2a\x03\x0a\x01\x2a"  # a gauge with a point that ends too early
    for extra in (to_come, torn):
        inner = b"\x12" + bytes([len(extra)]) + extra
        scope_bytes = b"\x12" + bytes([len(inner)]) + inner
        packed += b"\x0a" + bytes([len(scope_bytes)]) + scope_bytes
    answer = client.post("/v1/metrics", packed, "application/x-protobuf")
    assert answer.status == 200
    told = ExportMetricsServiceResponse()
    told.ParseFromString(answer.body)
    assert told.partial_success.rejected_data_points == 3
    (found,) = client.get("/api/v1/query", query="orders_total")["data"]["result"]
    assert found["value"][1] == "5"
