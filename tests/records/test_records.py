"""Records: begun once, finished exactly once, with durations that add up."""

from __future__ import annotations

import gc
import pickle
import threading
import time
import weakref
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.records import UNPRICED, Cost, LLMCall, Usage, ids, labels, new_id, outcome_of
from tachograph.records.context import LABELS


class Sink:
    """Keeps what is finished."""

    def __init__(self) -> None:
        self.finished: list[Any] = []
        self.in_flight: dict[int, Any] = {}

    def put(self, record: Any) -> None:
        self.finished.append(record)

    def settle(self) -> None:
        """Nothing waits here."""


def begin(sink: Sink, provider: str = "openai", model: str = "gpt-5") -> LLMCall:
    number = ids.next_number()
    call = LLMCall(
        sink, provider, model, number=number, started_unix_ns=time.time_ns(), started_ns=time.perf_counter_ns()
    )
    sink.in_flight[number] = weakref.ref(call)
    return call


def test_a_call_is_finished_once_however_many_try() -> None:
    sink = Sink()
    call = begin(sink)
    gate = threading.Barrier(8)
    counted: list[bool] = []

    def finish() -> None:
        gate.wait()
        counted.append(call.finish("success"))

    threads = [threading.Thread(target=finish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == [False] * 7 + [True]
    assert sink.finished == [call]
    assert call.is_finished


def test_an_attempt_that_runs_ends_with_the_call() -> None:
    call = begin(Sink(), "openai", "gpt-5")
    attempt = call.begin_attempt()
    call.finish("timeout", "timeout", ended_ns=call.started_ns + 500)
    assert (attempt.outcome, attempt.error_type, attempt.ended_ns) == ("timeout", "timeout", call.ended_ns)
    attempt.end("success")
    assert attempt.outcome == "timeout"


def test_the_time_between_attempts_is_the_wait_of_the_first_unless_told() -> None:
    call = begin(Sink(), "openai", "gpt-5")
    first = call.begin_attempt()
    first.end("rate_limited", "rate_limit")
    second = call.begin_attempt()
    assert first.waited_ns == second.started_ns - first.ended_ns
    second.end("rate_limited", "rate_limit")
    second.waited_ns = 42
    call.begin_attempt()
    assert second.waited_ns == 42
    assert call.rate_limit_wait_seconds == (first.waited_ns + 42) / 1e9


def test_the_time_after_an_attempt_that_went_well_is_no_wait() -> None:
    call = begin(Sink(), "gemini", "gemini-2.5-flash")
    call.begin_attempt().end("success")
    call.begin_attempt()
    assert call.attempts[0].waited_ns == 0
    call.finish("success")


def test_giving_up_while_waiting_counts_the_wait() -> None:
    call = begin(Sink(), "openai", "gpt-5")
    attempt = call.begin_attempt()
    attempt.end("rate_limited", "rate_limit", ended_ns=call.started_ns + 100)
    call.finish("cancelled", ended_ns=call.started_ns + 900)
    assert attempt.waited_ns == 800


def test_a_record_is_small_weakly_referable_and_has_its_own_attempts() -> None:
    one, other = begin(Sink(), "openai", "gpt-5"), begin(Sink(), "openai", "gpt-5")
    one.begin_attempt()
    one.usage = Usage(1, 2)
    assert (other.attempts, other.usage) == ([], None)
    reference = weakref.ref(one)
    del one
    gc.collect()
    assert reference() is None


def test_ids_are_unique_sort_by_time_and_are_version_7() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert {(one[6] >> 4, one[8] >> 6) for one in ids} == {(7, 0b10)}


def test_labels_nest_and_come_back() -> None:
    with labels(team="search", feature="a"):
        with labels(feature="b"):
            assert LABELS.get() == {"team": "search", "feature": "b"}
        assert LABELS.get() == {"team": "search", "feature": "a"}
    assert LABELS.get() is None


@pytest.mark.parametrize(
    ("error_type", "outcome"),
    [("timeout", "timeout"), ("rate_limit", "rate_limited"), ("quota", "error"), ("auth", "error")],
)
def test_outcomes_follow_from_error_types(error_type: Any, outcome: str) -> None:
    assert outcome_of(error_type) == outcome


_TOKENS = st.one_of(st.none(), st.integers(0, 10**9))
_USAGES = st.builds(
    Usage, _TOKENS, _TOKENS, st.dictionaries(st.sampled_from(["cache_read", "reasoning"]), st.integers(1, 10**6))
)


@given(_USAGES, _USAGES, _USAGES)
def test_adding_usages_is_associative_and_keeps_what_was_not_reported(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert (Usage() + a) == a
    assert (a + b).is_reported == (a.is_reported or b.is_reported)


@given(st.integers(0, 10**15))
def test_costs_are_exact(nano: int) -> None:
    assert Cost(nano, "priced").usd == Decimal(nano) / 10**9
    assert UNPRICED.usd is None
    assert pickle.loads(pickle.dumps(Cost(nano, "priced"))) == Cost(nano, "priced")
