"""What one finished LLM call adds to the metrics.

The hot path of the product. Everything that depends only on who was asked (provider, model, the user's metric labels)
is bound once, in a `_Bound`; a call then costs one dictionary look-up and one hold of the lock.
tests/signals/test_bytecodes.py counts what it costs.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from time import perf_counter_ns
from typing import Any

from tachograph.llm.metrics import families as f
from tachograph.records.llm_call import LLMCall
from tachograph.signals.cells import Cell, CellCache, Exemplar, HistogramCell
from tachograph.signals.family import Family
from tachograph.signals.registry import Metrics


class _Bound:
    """The cells of one provider and model. Making them puts the whole known label set at zero."""

    __slots__ = (
        "calls",
        "completion",
        "cost",
        "delays",
        "details",
        "errors",
        "first_token",
        "labels",
        "prompt",
        "requests",
        "unpriced",
        "usage_missing",
    )

    def __init__(self, metrics: Metrics, provider: str, model: str, extra: tuple[str, ...]) -> None:
        def counters(family: Family, values: tuple[str, ...]) -> dict[str, Cell]:
            return {value: metrics.cell(family, provider, model, value, *extra) for value in values}

        def histograms(family: Family, values: tuple[str, ...]) -> dict[str, HistogramCell]:
            return {value: metrics.histogram(family, provider, model, value, *extra) for value in values}

        self.requests = CellCache(histograms(f.REQUEST_SECONDS, f.REQUEST_SECONDS.values["outcome"]), "error")
        self.calls = CellCache(histograms(f.CALL_SECONDS, f.CALL_SECONDS.values["outcome"]), "error")
        self.errors = CellCache(counters(f.ERRORS, f.ERRORS.values["error_type"]), "unknown")
        self.details = {
            word: cell.values for word, cell in counters(f.TOKEN_DETAILS, f.TOKEN_DETAILS.zero["detail"]).items()
        }
        prompt = metrics.cell(f.TOKENS, provider, model, "prompt", *extra)
        self.labels = prompt.labels
        self.prompt = prompt.values
        self.completion = metrics.cell(f.TOKENS, provider, model, "completion", *extra).values
        self.cost = metrics.cell(f.COST_USD, provider, model, *extra).values
        self.unpriced = metrics.cell(f.UNPRICED_CALLS, provider, model, *extra)
        self.usage_missing = metrics.cell(f.USAGE_MISSING, provider, model, *extra)
        self.first_token = metrics.histogram(f.FIRST_TOKEN_SECONDS, provider, model, *extra)
        self.delays = metrics.histogram(f.RATE_LIMIT_DELAYS, provider)


class LLMMetrics:
    """Adds finished calls to the families of `llm.metrics.families`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = metrics.lock
        self._keys = metrics.user_labels
        self._bound: dict[Any, _Bound] = {}
        self._under_way: set[tuple[str, ...]] = set()
        for family in f.FAMILIES:
            metrics.register(family)
        metrics.when_rebound(self._bound.clear)

    def show_in_flight(self, in_flight: dict[int, Any]) -> None:
        """Set the gauges of calls under way; before each collection.

        Args:
            in_flight: Weak references to the records that have begun and are not finished, by number. Those of records
                that were dropped without an end are taken out.
        """
        now = perf_counter_ns()
        found: dict[tuple[str, ...], tuple[int, int]] = {}
        for number, reference in list(in_flight.items()):
            call = reference()
            if call is None:
                in_flight.pop(number, None)
            elif type(call) is LLMCall:
                labels = self._metrics.admit(f.CALLS_IN_FLIGHT, (call.provider, call.model))
                count, oldest = found.get(labels, (0, now))
                found[labels] = count + 1, min(oldest, call.started_ns)
        self._under_way.update(found)
        for labels in self._under_way:
            count, oldest = found.get(labels, (0, now))
            self._metrics.cell(f.CALLS_IN_FLIGHT, *labels).set(count)
            self._metrics.cell(f.CALL_OLDEST_SECONDS, *labels).set((now - oldest) / 1e9)

    def observe(self, call: LLMCall) -> None:
        """Add one finished call: its attempts, its waits, its tokens and its cost, each once."""
        try:
            if self._keys:
                bound = self._bound[call.provider, call.model, self._user_labels(call)]
            else:
                bound = self._bound[call.provider, call.model]
        except (KeyError, TypeError):
            bound = self._bind(call)
        now = time.time() if call.trace_id else 0.0
        with self._lock:
            self._add_attempts(bound, call, now)
            cell = bound.calls[call.outcome]  # type: ignore[index]  # finished calls have one
            self._add_seconds(cell, (call.ended_ns - call.started_ns) / 1e9, call, now)
            if call.first_token_ns and call.stream:
                seconds = (call.first_token_ns - call.started_ns) / 1e9
                exemplar = Exemplar(call.trace_id, seconds, now, call.span_id) if call.trace_id else None
                bound.first_token.observe(seconds, exemplar)
            if call.counts_usage:
                self._add_usage(bound, call)

    def _add_attempts(self, bound: _Bound, call: LLMCall, now: float) -> None:
        """Each request, and each wait for a rate limit."""
        for attempt in call.attempts:
            cell = bound.requests[attempt.outcome]  # type: ignore[index]  # ended attempts have one
            self._add_seconds(cell, (attempt.ended_ns - attempt.started_ns) / 1e9, call, now)
            if attempt.error_type is not None:
                bound.errors[attempt.error_type].values[0] += 1
                if attempt.waited_ns and attempt.outcome == "rate_limited":
                    bound.delays.observe(attempt.waited_ns / 1e9)
            if attempt.waited_before_ns:
                bound.delays.observe(attempt.waited_before_ns / 1e9)
        if call.unsent_wait_ns:
            bound.delays.observe(call.unsent_wait_ns / 1e9)

    @staticmethod
    def _add_seconds(cell: HistogramCell, seconds: float, call: LLMCall, now: float) -> None:
        index, values = bisect_left(cell.bounds, seconds), cell.values
        values[0] += seconds
        values[index + 1] += 1
        if now:
            if cell.exemplars is None:
                cell.exemplars = {}
            cell.exemplars[index] = Exemplar(call.trace_id, seconds, now, call.span_id)

    def _add_usage(self, bound: _Bound, call: LLMCall) -> None:
        """Tokens and cost; calls without them are counted as such."""
        usage, cost = call.usage, call.cost
        if call.usage_mismatch is not None:
            self._mismatch(bound, call.usage_mismatch)
        if usage is None or (not usage.input_tokens and not usage.is_reported):
            if call.outcome in ("success", "cancelled"):
                bound.usage_missing.values[0] += 1
            if cost is not None and cost.nano_usd:
                bound.cost[0] += cost.nano_usd  # stated, or the prompt of a stream that was cut
            return
        if usage.input_tokens:
            bound.prompt[0] += usage.input_tokens
        if usage.output_tokens:
            bound.completion[0] += usage.output_tokens
        for detail, tokens in usage.details.items():
            try:
                bound.details[detail][0] += tokens
            except KeyError:
                self._new_detail(bound, detail)[0] += tokens
        if cost is None or cost.nano_usd is None:
            bound.unpriced.values[0] += 1
            return
        bound.cost[0] += cost.nano_usd
        if cost.list_nano_usd is not None and cost.contradicts_list:
            self._mismatch(bound, "stated_cost")

    def _mismatch(self, bound: _Bound, reason: str) -> None:
        """Rare: its cells are not made before they are needed."""
        provider, model, _, *rest = bound.labels
        self._metrics.cell(f.USAGE_MISMATCH, provider, model, reason, *rest).values[0] += 1

    def _new_detail(self, bound: _Bound, detail: str) -> Any:
        labels = bound.labels
        values = self._metrics.cell(f.TOKEN_DETAILS, *labels[:2], detail, *labels[3:]).values
        bound.details[detail] = values
        return values

    def _user_labels(self, call: LLMCall) -> tuple[str, ...]:
        labels = call.labels
        return tuple([labels.get(key, "") for key in self._keys]) if labels else ("",) * len(self._keys)

    def _bind(self, call: LLMCall) -> _Bound:
        """Find or make the cells of this provider and model; only what was admitted as it came is kept by its key."""
        extra = self._user_labels(call)
        asked = (call.provider, call.model, "success", *extra)
        provider, model, _, *rest = self._metrics.admit(f.REQUEST_SECONDS, asked)
        extra = tuple(rest)
        key: Any = (provider, model, extra) if self._keys else (provider, model)
        bound = self._bound.get(key)
        if bound is None:
            with self._lock:
                bound = self._bound.setdefault(key, _Bound(self._metrics, provider, model, extra))
            self._metrics.grew()
        return bound
