"""OTLP: metrics join the application's own, or are pushed where an endpoint is named; spans likewise."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from support.otlp import Received, receiver
from support.traffic import llm_call, retried_call, tool_call
from tachograph import runtime
from tachograph.recorder import Recorder
from tachograph.settings import load
from tachograph.signals import otlp, otlp_join, otlp_push

TESTS = Path(__file__).parent.parent


def recorder() -> Recorder:
    return runtime.build(load({"ledger": {"enabled": False}}, environ={}, read_file=False))


def ours(data: MetricsData | None) -> dict[str, Any]:
    assert data is not None
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        if scope.scope.name == "tachograph"
        for metric in scope.metrics
    }


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> MeterProvider:
    """An application's MeterProvider, set for the process during the test."""
    made = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", made)
    return made


def reader(provider: MeterProvider) -> InMemoryMetricReader:
    (found,), _ = otlp_join.readers_of(provider)
    assert isinstance(found, InMemoryMetricReader)
    return found


def test_our_metrics_join_the_application_s_at_its_collections(provider: MeterProvider) -> None:
    application = provider.get_meter("application").create_counter("orders")
    application.add(3)
    here = recorder()
    assert here.otlp is not None
    here.otlp.attach()
    here.otlp.attach()
    for _ in range(2):
        llm_call(here)
    retried_call(here, "anthropic", "claude-opus-5")
    traced = here.start_llm_call("gemini", "gemini-2.5-pro")
    traced.trace_id, traced.span_id = 0xABC, 0xDEF
    traced.finish("success", ended_ns=traced.started_ns + 300_000_000)

    data = reader(provider).get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    assert [scope.scope.name for scope in resource.scope_metrics] == ["application", "tachograph"]
    found = ours(data)

    tokens = found["llm_provider_tokens_total"]
    assert (tokens.unit, tokens.data.is_monotonic, int(tokens.data.aggregation_temporality)) == ("{token}", True, 2)
    values = {tuple(point.attributes.items()): point.value for point in tokens.data.data_points}
    assert values[("provider", "openai"), ("model", "gpt-5"), ("type", "prompt")] == 200

    seconds = found["llm_provider_request_seconds"]
    assert seconds.unit == "s"
    points = {(p.attributes["provider"], p.attributes["outcome"]): p for p in seconds.data.data_points}
    point = points["openai", "success"]
    assert point.explicit_bounds == (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
    assert (point.count, point.sum, point.bucket_counts[2]) == (2, pytest.approx(0.6), 2)
    assert points["anthropic", "rate_limited"].count == 2
    assert point.start_time_unix_nano < point.time_unix_nano

    cost = {p.attributes["provider"]: p.value for p in found["llm_provider_cost_usd_total"].data.data_points}
    assert cost["openai"] == 0.0025
    exemplars = [e for p in found["llm_call_seconds"].data.data_points for e in p.exemplars]
    assert [(e.trace_id, e.span_id, e.value) for e in exemplars if e.trace_id == 0xABC] == [(0xABC, 0xDEF, 0.3)]
    assert found["llm_usage_persist_queue_size"].data.data_points[0].value == 0


def test_a_provider_set_after_us_is_found_when_a_model_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    here = recorder()
    assert here.otlp is not None
    here.otlp.attach()
    llm_call(here)
    late = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", late)
    tool_call(here)
    here.settle()  # the drain does a second later
    assert "llm_call_seconds" in ours(reader(late).get_metrics_data())


def test_a_provider_set_after_us_does_not_wait_for_a_push_of_ours_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint_answers, is_shut_down = threading.Event(), threading.Event()

    class Hanging(ConsoleMetricExporter):
        def export(self, *_: object, **__: object) -> Any:
            endpoint_answers.wait(60)

        def shutdown(self, *_: object, **__: object) -> None:
            is_shut_down.set()

    monkeypatch.setattr(otlp, "is_wanted", lambda signal: True)
    monkeypatch.setattr(otlp, "_exporter", lambda signal: Hanging())
    here = recorder()
    assert here.otlp is not None
    here.otlp.attach()
    late = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", late)
    monkeypatch.setattr(threading.Thread, "join", _joins_only_at_once)
    here.otlp.attach()
    assert not is_shut_down.is_set()
    endpoint_answers.set()
    assert is_shut_down.wait(60)
    llm_call(here)
    assert "llm_call_seconds" in ours(reader(late).get_metrics_data())


def _joins_only_at_once(thread: threading.Thread, timeout: float | None = None) -> None:
    assert timeout == 0, f"waits {timeout} s for {thread}"


def test_a_recorder_that_was_replaced_is_pushed_no_more(provider: MeterProvider) -> None:
    before, after = recorder(), recorder()
    for one in (before, after):
        assert one.otlp is not None
        one.otlp.attach()
    llm_call(before)
    assert before.otlp is not None
    before.otlp.close()
    llm_call(after)
    points = ours(reader(provider).get_metrics_data())["llm_call_seconds"].data.data_points
    assert sum(point.count for point in points) == 1


def test_a_failure_of_ours_leaves_the_application_s_metrics_alone(
    provider: MeterProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.get_meter("application").create_counter("orders").add(3)
    here = recorder()
    assert here.otlp is not None
    here.otlp.attach()

    def broken() -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(here.metrics, "collect_own", broken)
    data = reader(provider).get_metrics_data()
    assert data is not None
    assert [scope.scope.name for scope in data.resource_metrics[0].scope_metrics] == ["application"]
    monkeypatch.undo()
    failures = here.metrics.cell(here.metrics.families["tachograph_telemetry_errors_total"], "otlp")
    assert failures.value == 1
    here.otlp.close()


@pytest.mark.parametrize(
    ("environ", "metrics", "traces"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_METRICS_EXPORTER": "console"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_METRICS_EXPORTER": "console, otlp"}, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False, False),
    ],
)
def test_opentelemetry_s_variables_decide(environ: dict[str, str], metrics: bool, traces: bool) -> None:
    assert (otlp.is_wanted("metrics", environ), otlp.is_wanted("traces", environ)) == (metrics, traces)


PROGRAM = """
import os, sys
from support.traffic import llm_call, tool_call
import tachograph
assert "opentelemetry.sdk" not in sys.modules
recorder = tachograph.configure()
llm_call(recorder)
tool_call(recorder)
if "fork" in sys.argv:
    child = os.fork()
    if child == 0:
        llm_call(recorder)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def run(url: str, *arguments: str, **environ: str) -> tuple[float, str]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]),
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_SERVICE_NAME": "shop",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started, done.stderr


def total(received: Received, name: str) -> float:
    return sum(point.count for point in received.families()[name].histogram.data_points)


def test_with_an_endpoint_and_no_provider_metrics_and_spans_are_pushed_at_the_end_at_the_latest() -> None:
    with receiver() as received:
        run(received.url)
        assert received.wait_for(lambda got: got.metrics and len(got.spans()) == 2)
    assert total(received, "llm_call_seconds") == 1
    (bucketed,) = [p for p in received.families()["llm_call_seconds"].histogram.data_points if p.count]
    assert [e.trace_id.hex() for e in bucketed.exemplars] == [received.spans()[0][1].trace_id.hex()]
    assert {(scope, span.name) for scope, span in received.spans()} == {
        ("tachograph.llm", "llm.complete"),
        ("tachograph.mcp", "mcp.tool.execute"),
    }
    for request in (received.metrics[0].resource_metrics[0], received.traces[0].resource_spans[0]):
        facts = {one.key: one.value.string_value for one in request.resource.attributes}
        assert facts["service.name"] == "shop"
        assert facts["telemetry.distro.name"] == "tachograph"
        assert facts["service.instance.id"]


def test_a_forked_child_pushes_its_own_under_its_own_id() -> None:
    with receiver() as received:
        run(received.url, "fork", OTEL_TRACES_EXPORTER="none")
        received.wait_for(lambda got: len(got.metrics) >= 2)
    by_process: dict[str, float] = {}
    for request in received.metrics:
        for resource in request.resource_metrics:
            (who,) = [o.value.string_value for o in resource.resource.attributes if o.key == "service.instance.id"]
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "llm_call_seconds":
                        by_process[who] = sum(point.count for point in metric.histogram.data_points)
    assert sorted(by_process.values()) == [1, 1]
    assert len(by_process) == 2


def test_an_endpoint_that_is_dead_holds_the_process_s_end_only_a_little() -> None:
    """A listener that never answers: the worst of dead endpoints."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        seconds, _ = run(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert seconds < 30  # two signals, each bounded, on a busy machine; the exporters' own patience is longer


def test_without_the_sdk_the_install_line_is_logged_and_nothing_breaks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", None)
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter.otlp.proto.http")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    here = recorder()
    assert here.otlp is not None
    here.otlp.attach()
    llm_call(here)
    assert "pip install 'tachograph[otlp]'" in caplog.text


def test_an_sdk_that_keeps_its_readers_elsewhere_is_named_and_its_metrics_go_on(
    provider: MeterProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = reader(provider)
    provider.get_meter("application").create_counter("orders").add(3)
    monkeypatch.delattr(type(own).__mro__[1], "_set_collect_callback")
    here = recorder()
    assert here.otlp is not None
    here.otlp.attach()
    llm_call(here)
    data = own.get_metrics_data()
    assert data is not None
    assert [scope.scope.name for scope in data.resource_metrics[0].scope_metrics] == ["application"]
    assert "is newer than this version of Tachograph supports" in caplog.text
    assert "Scrape /metrics" in caplog.text


def test_a_signal_handler_that_makes_a_call_while_readers_are_joined_does_not_wait_for_itself(
    provider: MeterProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = recorder()
    joining = here.otlp
    assert joining is not None
    readers_of, again = otlp.readers_of, list[str]()

    def interrupted(asked: MeterProvider) -> Any:
        if not again:
            again.append("in the handler")
            signal.raise_signal(signal.SIGUSR1)
        return readers_of(asked)

    before = signal.signal(signal.SIGUSR1, lambda *_: joining.attach())
    monkeypatch.setattr(otlp, "readers_of", interrupted)
    joining.attach()
    signal.signal(signal.SIGUSR1, before)
    assert again == ["in the handler"]
    llm_call(here)
    assert "llm_call_seconds" in ours(reader(provider).get_metrics_data())
    joining.close()


class Kept(SpanExporter):
    """An exporter that keeps what it is handed, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append([span.name for span in spans])
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut_down = True


def pushing(**environ: str) -> tuple[TracerProvider, Kept]:
    kept = Kept()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        batches = otlp_push.SpanBatches(kept)
    made = otlp_push.ForkSafeTracerProvider(shutdown_on_exit=False)
    made.add_span_processor(batches)
    return made, kept


def test_spans_are_handed_over_in_batches_and_the_rest_at_the_end() -> None:
    made, kept = pushing(OTEL_BSP_MAX_EXPORT_BATCH_SIZE="3", OTEL_BSP_SCHEDULE_DELAY="3600000")
    tracer = made.get_tracer("shop")
    for number in range(4):
        tracer.start_span(str(number)).end()
    made.shutdown()
    tracer.start_span("too late").end()
    assert [name for batch in kept.batches for name in batch] == ["0", "1", "2", "3"]
    assert max(len(batch) for batch in kept.batches) <= 3
    assert kept.is_shut_down


def test_when_too_many_spans_wait_the_oldest_go() -> None:
    made, kept = pushing(OTEL_BSP_MAX_QUEUE_SIZE="2", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="50")
    (batches,) = vars(made)["_active_span_processor"]._span_processors
    with batches._exporting:  # the endpoint does not answer
        for number in range(5):
            made.get_tracer("shop").start_span(str(number)).end()
    made.force_flush()
    made.shutdown()
    assert kept.batches == [["3", "4"]]


def test_a_forked_child_starts_no_thread_at_the_fork_and_sends_only_its_own_spans() -> None:
    made, kept = pushing(OTEL_BSP_SCHEDULE_DELAY="3600000")
    made.get_tracer("shop").start_span("the parent's").end()
    gc.collect()  # batches of the SDK that earlier tests left in cycles would start their threads in the child
    child = os.fork()
    if child == 0:
        threads = len(os.listdir("/proc/self/task"))
        try:
            made.get_tracer("shop").start_span("the child's").end()
            made.shutdown()
        finally:
            os._exit(threads if kept.batches == [["the child's"]] else 100 + len(kept.batches))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1, "one thread, or 100 and the number of batches sent"
    made.shutdown()
    assert kept.batches == [["the parent's"]]
