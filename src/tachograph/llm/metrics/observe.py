"""What one finished LLM call adds to the metrics."""

from __future__ import annotations

import time

from tachograph.llm.metrics import families as f
from tachograph.records.llm_call import LLMCall
from tachograph.signals.registry import Exemplar, Metrics


class LLMMetrics:
    """Adds finished calls to the families of `llm.metrics.families`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for family in f.FAMILIES:
            metrics.register(family)

    def observe(self, call: LLMCall) -> None:
        """Add one finished call: its attempts, its waits, its tokens and its cost, each once."""
        metrics, provider, model = self._metrics, call.provider, call.model
        exemplar = None
        if call.trace_id:
            exemplar = Exemplar(f"{call.trace_id:032x}", call.duration_seconds, time.time())
        for attempt in call.attempts:
            outcome = attempt.outcome or "error"
            metrics.histogram(f.REQUEST_SECONDS, provider, model, outcome).observe(attempt.duration_seconds, exemplar)
            if attempt.error_type is not None:
                metrics.cell(f.ERRORS, provider, model, attempt.error_type).add()
            if attempt.waited_before_ns:
                metrics.histogram(f.RATE_LIMIT_DELAYS, provider).observe(attempt.waited_before_ns / 1e9)
            if attempt.waited_ns and outcome == "rate_limited":
                metrics.histogram(f.RATE_LIMIT_DELAYS, provider).observe(attempt.waited_ns / 1e9)
        metrics.histogram(f.CALL_SECONDS, provider, model, call.outcome or "error").observe(
            call.duration_seconds, exemplar
        )
        if call.first_token_ns and call.stream:
            metrics.histogram(f.FIRST_TOKEN_SECONDS, provider, model).observe(
                (call.first_token_ns - call.started_ns) / 1e9, exemplar
            )
        self._observe_usage(call)

    def _observe_usage(self, call: LLMCall) -> None:
        metrics, provider, model, usage = self._metrics, call.provider, call.model, call.usage
        if not call.counts_usage:
            return
        if usage is None or not usage.is_reported:
            if call.outcome in ("success", "cancelled"):
                metrics.cell(f.USAGE_MISSING, provider, model).add()
            return
        metrics.cell(f.TOKENS, provider, model, "prompt").add(usage.input_tokens or 0)
        metrics.cell(f.TOKENS, provider, model, "completion").add(usage.output_tokens or 0)
        for detail, tokens in usage.details.items():
            metrics.cell(f.TOKEN_DETAILS, provider, model, detail).add(tokens)
        if call.cost is None or call.cost.nano_usd is None:
            metrics.cell(f.UNPRICED_CALLS, provider, model).add()
        else:
            metrics.cell(f.COST_USD, provider, model).add(call.cost.nano_usd / 1e9)
