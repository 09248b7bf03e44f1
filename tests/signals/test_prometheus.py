"""A real Prometheus scrapes our port, and its HTTP API has every family, number and exemplar."""

from __future__ import annotations

import time

import pytest

from support import contract
from support.prometheus import Prometheus, prometheus
from support.traffic import llm_call, retried_call, tool_call
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.signals.http import MetricsServer
from tachograph.testing import Recording


def test_prometheus_loads_every_family_and_number(seen: Recording) -> None:
    recorder = seen.recorder
    for _ in range(3):
        llm_call(recorder)
    retried_call(recorder, "anthropic", 'claude "4"\nbeta\\x')
    tool_call(recorder)
    recorder.metrics.part(MCPMetrics).connection_opened("time")
    recorder.factory_created("tool", "get_time", time.perf_counter_ns())
    traced = recorder.start_llm_call("gemini", "gemini-2.5-pro")
    traced.trace_id = 0xABC
    traced.finish("success", ended_ns=traced.started_ns + 300_000_000)
    server = MetricsServer(lambda: recorder.metrics, 0)
    try:
        with prometheus(targets=[f"127.0.0.1:{server.port}"]) as prom:
            prom.wait_for(lambda p: p.value("llm_provider_cost_usd_total{provider='openai'}") is not None)
            _check(prom)
    finally:
        server.close()


def _check(prom: Prometheus) -> None:
    assert prom.value("up") == 1
    for name, (kind, labels, _) in contract.FAMILIES.items():
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            series = prom.query(name + suffix)
            assert series, name + suffix
            wanted = {"__name__", "instance", "job", *labels, *(["le"] if suffix == "_bucket" else [])}
            assert {frozenset(one["metric"]) for one in series} == {frozenset(wanted)}
    metadata = prom.get("/api/v1/metadata")
    for name, (kind, _, _) in contract.FAMILIES.items():
        known = metadata.get(name) or metadata[name.removesuffix("_total")]  # OpenMetrics names a counter without it
        assert known[0]["type"] == kind
    assert prom.value("llm_provider_tokens_total{provider='openai',type='prompt'}") == 300
    assert prom.value("llm_provider_cost_usd_total{provider='openai'}") == 0.00375
    assert prom.value('llm_provider_errors_total{provider="anthropic",error_type="rate_limit"}') == 2
    assert prom.query("llm_provider_cost_usd_total{provider='anthropic'}")[0]["metric"]["model"] == (
        'claude "4"\nbeta\\x'
    )
    assert prom.value("llm_provider_rate_limit_delays_seconds_sum{provider='anthropic'}") == pytest.approx(0.6)
    assert prom.value("mcp_server_connections_active") == 1
    p50 = prom.value("histogram_quantile(0.5, llm_call_seconds_bucket{provider='openai',outcome='success'})")
    assert p50 is not None
    assert 0.25 < p50 <= 0.5
    exemplars = prom.get(
        "/api/v1/query_exemplars", query="llm_call_seconds_bucket", start=time.time() - 60, end=time.time() + 60
    )
    assert {"trace_id": f"{0xABC:032x}"} in [e["labels"] for one in exemplars for e in one["exemplars"]]
