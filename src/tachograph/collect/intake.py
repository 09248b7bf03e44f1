"""From what was received to what is recorded: once, first in the ledger's journal, then in everything else."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tachograph.collect.recorded_calls import RecordedCalls
from tachograph.console.api.otlp import Refused, Takers
from tachograph.console.ingest.otlp import logs, traces
from tachograph.records import LLMCall, ToolCall
from tachograph.records.projection import project
from tachograph.signals.families import RECEIVED
from tachograph.usage.ledger_paths import configured_ledger

if TYPE_CHECKING:
    from tachograph.console.ingest.otlp.traces import Received
    from tachograph.recorder import Recorder
    from tachograph.usage.ledger import Ledger
    from tachograph.usage.stores.base import Store

SERVICE_LABEL = "service"
Signal = Literal["traces", "logs", "metrics"]


class Intake:
    """Records received calls.

    Args:
        recorder: Prices and counts them.
        ledger: Keeps them.
    """

    def __init__(self, recorder: Recorder, ledger: Ledger) -> None:
        self._recorder = recorder
        self._ledger = ledger
        self._recorded_calls = RecordedCalls(self._open_store)
        self._lock = threading.Lock()

    def _open_store(self) -> Store | None:
        exists = configured_ledger(self._ledger.settings) is not None  # no file before the first call is no failure
        return self._ledger.open_store(read_only=True) if exists else None

    def takers(self) -> Takers:
        """What takes each signal. Metrics are not taken: what senders count is counted here again, from their calls."""
        return Takers(self._take_traces, self._leave_metrics, self._take_logs)

    def _take_traces(self, request: dict[str, Any]) -> int:
        received, refused = traces.records(request, self._recorder.pricer)
        self._count("traces", "unusable", refused)
        self._count("traces", "no_call", sum(found.record is None for found in received))
        self._record("traces", received)
        return refused

    def _take_logs(self, request: dict[str, Any]) -> int:
        received, refused, others = logs.records(request, self._recorder.pricer)
        self._count("logs", "unusable", refused)
        self._count("logs", "no_call", others)
        self._record("logs", received)
        return refused

    def _leave_metrics(self, request: Mapping[str, Any]) -> int:
        self._count("metrics", "no_call", 1)
        return 0

    def _record(self, signal: Signal, received: Sequence[Received]) -> None:
        """Record the calls that are new.

        Raises:
            Refused: The journal cannot take them now; the sender sends them again, and nothing was counted.
        """
        calls = [found for found in received if found.record is not None]
        if not calls:
            return
        with self._lock:
            self._recorded_calls.look()
            new = self._new(calls)
            records = [found.record for found in new if found.record is not None]
            reason = self._ledger.keep(records)
            if reason is not None:
                for record in records:
                    self._recorded_calls.forget(record.id)
                self._count(signal, "refused", len(records))
                raise Refused(503, f"the ledger cannot take records now ({reason}); try again")
            for found in new:
                self._hand_on(found)
            self._ledger.write()  # what was found about them: waste
        own = sum(traces.is_ours(found.span) for found in new)
        self._count(signal, "recorded", len(new) - own)
        self._count(signal, "own", own)
        self._count(signal, "duplicate", len(calls) - len(new))

    def _new(self, calls: Sequence[Received]) -> list[Received]:
        """Those that are not recorded; of two accounts of a call that come together, the one that says more."""
        new: list[Received] = []
        for found in sorted(calls, key=_says_less):
            record = found.record
            assert record is not None
            if not traces.is_ours(found.span) and found.span.service:
                record.labels = {SERVICE_LABEL: found.span.service, **(record.labels or {})}
            row = project(record)
            if not self._recorded_calls.has(row):
                self._recorded_calls.add(row)
                new.append(found)
        return new

    def _hand_on(self, found: Received) -> None:
        """Count the call. One of another Tachograph is in that one's own metrics."""
        if found.record is not None and not traces.is_ours(found.span):
            self._recorder.deliver_kept(found.record)

    def _count(self, signal: Signal, result: str, number: int) -> None:
        if number:
            self._recorder.metrics.cell(RECEIVED, signal, result).add(number)

    def close(self) -> None:
        """Release what is open."""
        self._recorded_calls.close()


def _says_less(found: Received) -> tuple[bool, bool, int]:
    record: LLMCall | ToolCall | None = found.record
    usage = record.usage if isinstance(record, LLMCall) else None
    return not traces.is_ours(found.span), usage is None, -len(found.span.attributes)
