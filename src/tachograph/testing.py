"""What users need to test their own instrumentation: `recording()` catches every call, metric and span.

from tachograph.testing import recording

def test_the_summary_asks_once():
    with recording() as seen:
        summarise("...")
    assert [call.model for call in seen.llm_calls] == ["gpt-5"]
    assert seen.value("llm_provider_tokens_total", type="prompt") == 120
    assert [span.name for span in seen.spans] == ["llm.complete"]
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tachograph import runtime
from tachograph.recorder import Recorder
from tachograph.records import LLMCall, ToolCall
from tachograph.settings import load

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_SUFFIXES = ("_bucket", "_count", "_sum")


@dataclass(slots=True)
class HistogramValue:
    """A histogram's numbers, summed over the label sets that were asked for.

    Attributes:
        count: Number of observations.
        sum: Their sum.
        buckets: Observations at or below each upper bound (cumulated, as on /metrics), by bound; `inf` last.
    """

    count: int = 0
    sum: float = 0.0
    buckets: dict[float, int] = field(default_factory=dict)


class Recording:
    """What was recorded inside `recording()`.

    Attributes:
        llm_calls, tool_calls: Finished records, in the order in which they finished.
        recorder: The recorder in place meanwhile.
        spans: Finished spans of every scope, as the OpenTelemetry SDK keeps them, in the order in which they ended.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._llm_calls: list[LLMCall] = []
        self._tool_calls: list[ToolCall] = []
        self._spans: list[ReadableSpan] = []
        self._changed = threading.Condition()

    @property
    def calls(self) -> list[LLMCall | ToolCall]:
        """All finished records, LLM calls first."""
        return [*self.llm_calls, *self.tool_calls]

    @property
    def llm_calls(self) -> list[LLMCall]:
        """Finished LLM calls, in the order in which they were finished."""
        self.recorder.settle()
        return self._llm_calls

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Finished tool calls, in the order in which they were finished."""
        self.recorder.settle()
        return self._tool_calls

    @property
    def spans(self) -> list[ReadableSpan]:
        """Ended spans, in the order in which they were handed to the span processors."""
        self.recorder.settle()
        return self._spans

    def _take(self, record: LLMCall | ToolCall) -> None:
        with self._changed:
            if isinstance(record, LLMCall):
                self._llm_calls.append(record)
            else:
                self._tool_calls.append(record)
            self._changed.notify_all()

    def _take_span(self, span: ReadableSpan) -> None:
        with self._changed:
            self._spans.append(span)
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[Recording], Any], seconds: float = 5.0) -> None:
        """Wait until the condition holds, looking again whenever a record or a span arrives.

        Raises:
            AssertionError: It did not hold within this many seconds.
        """
        deadline = time.monotonic() + seconds
        while not condition(self):  # not under the lock: the condition may drain the tape, which comes here
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(
                    f"not within {seconds} s: {len(self._llm_calls)} LLM calls, {len(self._tool_calls)} tool calls, "
                    f"{len(self._spans)} spans"
                )
            with self._changed:
                self._changed.wait(min(0.02, left))

    def series(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Every label set of a counter or gauge, or of a histogram's `_count` or `_sum`, with its value.

        Label sets are tuples of (label, value) pairs in the family's order.

        Raises:
            KeyError: No family has this name.
        """
        found: dict[tuple[tuple[str, str], ...], float] = {}
        base, part = self._split(name)
        for family, samples in self.recorder.metrics.collect():
            if family.name != base:
                continue
            for sample in samples:
                labels = tuple(zip(family.labels, sample.labels, strict=True))
                value = sample.value
                if family.kind == "histogram":
                    value = sample.sum if part == "_sum" else sum(sample.buckets)
                found[labels] = value
        return found

    def value(self, name: str, /, **labels: str) -> float:
        """The sum over all label sets that carry these labels; 0.0 when there are none yet.

        `name` is as on /metrics: a counter, a gauge, or a histogram's `..._count` or `..._sum`.

        Raises:
            KeyError: No family has this name, or this label.
        """
        base, _ = self._split(name)
        self._check_labels(base, labels)
        wanted = set(labels.items())
        return sum(value for found, value in self.series(name).items() if wanted <= set(found))

    def histogram(self, name: str, /, **labels: str) -> HistogramValue:
        """A histogram, summed over all label sets that carry these labels.

        Raises:
            KeyError: No histogram has this name, or this label.
        """
        self._check_labels(name, labels)
        total = HistogramValue()
        for family, samples in self.recorder.metrics.collect():
            if family.name != name:
                continue
            counts = [0.0] * (len(family.buckets) + 1)
            for sample in samples:
                own = dict(zip(family.labels, sample.labels, strict=True))
                if all(own[label] == value for label, value in labels.items()):
                    counts = [a + b for a, b in zip(counts, sample.buckets, strict=True)]
                    total.sum += sample.sum
            running = 0
            for bound, count in zip((*family.buckets, float("inf")), counts, strict=True):
                running += int(count)
                total.buckets[bound] = running
            total.count = running
        return total

    def _split(self, name: str) -> tuple[str, str]:
        families = self.recorder.metrics.families
        if name in families:
            return name, ""
        for suffix in _SUFFIXES:
            base = name.removesuffix(suffix)
            if base != name and base in families and families[base].kind == "histogram":
                return base, suffix
        raise KeyError(f"no family is named {name!r}; docs/metrics.md lists them all")

    def _check_labels(self, name: str, labels: dict[str, str]) -> None:
        family = self.recorder.metrics.families.get(name)
        if family is None:
            raise KeyError(f"no family is named {name!r}; docs/metrics.md lists them all")
        unknown = set(labels) - set(family.labels)
        if unknown:
            raise KeyError(f"{name} has the labels {family.labels}, not {sorted(unknown)}")


@contextmanager
def recording(*, strict: bool = True, **sections: object) -> Iterator[Recording]:
    """Catch what Tachograph records inside; the process's recorder is replaced meanwhile.

    Nothing is read from the environment or from files: settings are the defaults and `sections`
    (`recording(metrics={"labels": ["team"]})`). There is no ledger unless they ask for one. Spans are caught when the
    OpenTelemetry SDK is installed: through the TracerProvider that is set, or through one of ours, set for the
    process when there is none.

    Args:
        strict: Raise failures of our own instead of counting them.
        sections: Settings, as for `tachograph.configure()`.
    """
    settings = load({"ledger": {"enabled": False}, **sections}, environ={}, read_file=False)
    recorder = runtime.build(settings)
    recorder.strict = strict
    seen = Recording(recorder)
    recorder.add_listener(seen._take)
    stop = _catch_spans(seen._take_span) if settings.spans.enabled else None
    settings_before = runtime.settings_in_place
    before = runtime.set_recorder(recorder, settings)
    try:
        yield seen
        recorder.settle()
    finally:
        runtime.set_recorder(before, settings_before)
        if stop is not None:
            stop()


_takers: list[Callable[[ReadableSpan], None]] = []
_watched: list[Any] = []


def _catch_spans(take: Callable[[ReadableSpan], None]) -> Callable[[], None] | None:
    """Hand ended spans to `take`. The global provider can be set only once, so one processor serves all recordings."""
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    except ImportError:
        return None

    class Tap(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if _takers:
                _takers[-1](span)

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        from tachograph.signals.otlp_push import ForkSafeTracerProvider

        trace.set_tracer_provider(ForkSafeTracerProvider())
        provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider) and provider not in _watched:
        provider.add_span_processor(Tap())
        _watched.append(provider)
    _takers.append(take)
    return lambda: _takers.remove(take)
