"""Listeners get calls in the order in which these ended, whichever thread delivers them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tachograph.records import LLMCall, ToolCall
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording

THREADS, CALLS = 6, 60


def together(*works: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(works)) as threads:
        for done in [threads.submit(work) for work in works]:
            done.result()


def listening(seen: Recording, fails_at: frozenset[str] = frozenset()) -> list[str]:
    heard: list[str] = []

    def hear(record: LLMCall | ToolCall) -> None:
        model = getattr(record, "model", "")
        heard.append(model)
        if model in fails_at:
            raise ValueError(model)

    seen.recorder.add_listener(hear)
    return heard


def test_with_several_threads_the_order_is_that_of_the_ends() -> None:
    ended, lock = list[str](), threading.Lock()

    def make_calls(thread: int) -> Callable[[], None]:
        def run() -> None:
            for number in range(CALLS):
                call = seen.recorder.start_llm_call("openai", f"{thread}-{number}")
                with lock:  # what ends before another one begins to end is first; of two at once either may be
                    call.finish("success")
                    ended.append(call.model)
                if number % 7 == thread:
                    seen.recorder.settle()
                TAPE.hurry()

        return run

    with recording() as seen:
        heard = listening(seen)
        together(*(make_calls(thread) for thread in range(THREADS)))
        seen.recorder.settle()
        assert heard == ended
        assert len(heard) == THREADS * CALLS


def test_without_any_lock_each_thread_s_calls_keep_their_order() -> None:
    def make_calls(thread: int) -> Callable[[], None]:
        def run() -> None:
            for number in range(CALLS):
                seen.recorder.start_llm_call("openai", f"{thread}-{number}").finish("success")

        return run

    with recording() as seen:
        heard = listening(seen)
        together(*(make_calls(thread) for thread in range(THREADS)), seen.recorder.settle)
        seen.recorder.settle()
        for thread in range(THREADS):
            own = [model for model in heard if model.startswith(f"{thread}-")]
            assert own == [f"{thread}-{number}" for number in range(CALLS)]


def test_a_listener_that_fails_changes_no_order_and_strict_mode_raises_its_first_failure() -> None:
    with recording() as seen:
        assert seen.recorder.strict
        heard, also_heard = listening(seen, fails_at=frozenset({"3", "5"})), listening(seen)
        for number in range(8):
            seen.recorder.start_llm_call("openai", str(number)).finish("success")
        with pytest.raises(ValueError, match="3"):
            seen.recorder.settle()
        assert heard == also_heard == [str(number) for number in range(8)]
        seen.recorder.settle()  # the second failure is not raised later
