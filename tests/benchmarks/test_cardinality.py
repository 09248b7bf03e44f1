"""However many model and tool names arrive, memory and /metrics stay bounded, and what was folded is counted."""

from __future__ import annotations

import gc
import tracemalloc

from benchmarks.rules import exposition, parsed
from opentelemetry.sdk.trace import TracerProvider

from tachograph.recorder import Recorder
from tachograph.records import UNPRICED, Usage
from tachograph.runtime import join
from tachograph.settings import Settings
from tachograph.signals.exposition import write
from tachograph.signals.registry import Metrics
from tachograph.signals.spans import SpanSignal

LIMIT = 100
FEW, MANY = 10_000, 40_000


def ask(recorder: Recorder, first: int, last: int) -> None:
    for index in range(first, last):
        call = recorder.start_llm_call("openai", f"model-{index}")
        call.begin_attempt().end("success")
        call.usage = Usage(10, 2, {"cache_read": 5})
        call.finish("success")
        recorder.start_tool_call("server", f"tool-{index}").finish("error", "execution")
    recorder.settle()


def traced(recorder: Recorder, first: int) -> int:
    """Bytes that 5,000 models and 5,000 tools leave behind."""
    gc.collect()
    tracemalloc.start()
    ask(recorder, first, first + 5_000)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept


def value(recorder: Recorder, name: str) -> float:
    (samples,) = [samples for family, samples in recorder.metrics.collect() if family.name == name]
    return sum(sample.value if sample.value is not None else 0.0 for sample in samples)


def test_forty_thousand_names_leave_memory_and_metrics_bounded_and_are_counted() -> None:
    recorder = join(Metrics((), limit=LIMIT), pricer=lambda call: UNPRICED, spans=SpanSignal(provider=TracerProvider()))
    ask(recorder, 0, FEW)
    lines = write(recorder.metrics.collect()).count("\n")
    kept = min(traced(recorder, FEW + 5_000 * part) for part in range(2))
    # what another thread allocates meanwhile, an import say, it allocates once
    assert kept < 750_000  # bounded caches fill up; 10,000 new names at 100 bytes each would be a third more
    ask(recorder, FEW + 10_000, MANY)
    assert write(recorder.metrics.collect()).count("\n") == lines
    for name, samples in recorder.metrics.collect():
        assert len(samples) <= (LIMIT + 1) * 20, name.name
    assert value(recorder, "llm_provider_tokens_total") == MANY * 12
    assert value(recorder, "llm_calls_unpriced_total") == MANY
    assert value(recorder, "mcp_tool_errors_total") == MANY
    assert value(recorder, "tachograph_label_overflow_total") >= 2 * (MANY - LIMIT)


def test_as_many_models_and_tools_as_labels_may_have_stay_below_the_alert() -> None:
    settings = Settings()
    most = settings.metrics.label_limit
    series = sum(1 for _ in parsed(exposition(most, most)))
    limit = settings.alerts.series_per_target
    assert 0.6 * limit < series < 0.8 * limit
