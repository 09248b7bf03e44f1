"""The limiter on our side, alone and around calls."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.ways import WAYS, Way
from tachograph.llm import Limiter, ProviderFactory, ProviderTimeoutError, Request
from tachograph.llm.limiter import estimate_tokens
from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, ServedUsage, Simulators


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_requests_beyond_the_limit_wait_for_their_place() -> None:
    clock = Clock()
    limiter = Limiter(requests_per_minute=60, clock=clock)
    waits = [limiter.reserve("openai", "gpt-5", 1) for _ in range(63)]
    assert waits == [0.0] * 60 + [1.0, 2.0, 3.0]
    assert limiter.reserve("openai", "gpt-4o", 1) == 0.0
    assert limiter.reserve("anthropic", "gpt-5", 1) == 0.0
    clock.now = 3.0
    assert limiter.reserve("openai", "gpt-5", 1) == 1.0


def test_processes_share_the_limits_through_a_directory(tmp_path: Path) -> None:
    source = (
        "import sys; from tachograph.llm import Limiter\n"
        "limiter = Limiter(requests_per_minute=60, shared=sys.argv[1], clock=lambda: 7.0)\n"
        "print([limiter.reserve('openai', 'gpt-5', 1) for _ in range(30)][-1])\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [worker.communicate()[0] for worker in workers] == ["0.0\n", "0.0\n"]
    clock = Clock()
    clock.now = 7.0
    limiter = Limiter(requests_per_minute=60, shared=tmp_path, clock=clock)
    assert limiter.reserve("openai", "gpt-5", 1) == 1.0  # sixty are taken, by processes that are dead
    limiter.cancel("openai", "gpt-5", 1)
    other = Limiter(requests_per_minute=60, shared=tmp_path, clock=clock)
    assert other.reserve("openai", "gpt-5", 1) == 1.0
    clock.now = 0.5  # the host was started again
    assert other.reserve("openai", "gpt-5", 1) == 2.0
    assert other.reserve("openai", "gpt-4o", 1) == 0.0


def test_a_directory_that_cannot_be_used_leaves_the_process_its_own_limits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    limiter = Limiter(requests_per_minute=1, shared=tmp_path / "file", clock=Clock())
    assert [limiter.reserve("openai", "gpt-5", 1) for _ in range(2)] == [0.0, 60.0]
    assert "keeps to the limits alone" in caplog.text


def test_tokens_are_limited_and_corrected() -> None:
    clock = Clock()
    limiter = Limiter(tokens_per_minute=600, clock=clock)
    assert limiter.reserve("openai", "gpt-5", 500) == 0.0
    assert limiter.reserve("openai", "gpt-5", 200) == 10.0
    limiter.correct("openai", "gpt-5", 500, 100)
    assert limiter.reserve("openai", "gpt-5", 300) == 0.0
    limiter.cancel("openai", "gpt-5", 300)
    assert limiter.reserve("openai", "gpt-5", 300) == 0.0


def test_a_request_above_the_whole_limit_goes_when_nothing_else_does() -> None:
    limiter = Limiter(tokens_per_minute=100, clock=Clock())
    assert limiter.reserve("openai", "gpt-5", 1000) == 0.0
    assert limiter.reserve("openai", "gpt-5", 10) > 60.0


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), min_size=1, max_size=60))
def test_no_minute_holds_more_than_the_limit_and_what_was_saved_up(asks: list[tuple[float, int]]) -> None:
    clock = Clock()
    limiter = Limiter(tokens_per_minute=120, clock=clock)
    sent = []
    for gap, tokens in asks:
        clock.now += gap
        sent.append((clock.now + limiter.reserve("p", "m", tokens), tokens))
    for start, _ in sent:
        within = sum(tokens for at, tokens in sent if start <= at < start + 60.0)
        assert within <= 2 * 120 + 50 + 1e-6


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Limiter(requests_per_minute=limit)


def test_its_waits_are_rate_limit_waits_before_the_attempt(way: Way, simulators: Simulators, seen: Recording) -> None:
    limiter = Limiter(requests_per_minute=1200, clock=Clock())  # a clock that stands still: the wait is 0.05 s
    for _ in range(1200):
        limiter.reserve(way.vendor, way.model, 1)
    getattr(simulators, way.vendor).script(Answer(text="hi", usage=ServedUsage(prompt=3, completion=1)))
    way.ask(way.provider(simulators, limiter=limiter))
    (call,) = seen.llm_calls
    (attempt,) = call.attempts
    waited = attempt.waited_before_ns / 1e9
    assert 0.05 <= waited < 60.0
    assert attempt.waited_ns == 0
    assert call.rate_limit_wait_seconds == pytest.approx(waited)
    delays = seen.histogram("llm_provider_rate_limit_delays_seconds", provider=way.vendor)
    assert (delays.count, delays.sum) == (1, pytest.approx(waited))
    assert seen.value("llm_provider_errors_total", provider=way.vendor) == 0


async def test_a_wait_that_is_given_up_counts_although_nothing_was_sent(
    simulators: Simulators, seen: Recording
) -> None:
    limiter = Limiter(requests_per_minute=1)
    limiter.reserve("openai", "gpt-5", 1)
    provider = ProviderFactory.create(
        "openai", api_key="k", base_url=simulators.openai.url, limiter=limiter, recorder=seen.recorder
    )
    asking = asyncio.create_task(provider.acomplete(model="gpt-5", messages="hi"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asking, 0.3)
    (call,) = seen.llm_calls
    assert (call.outcome, call.attempts) == ("cancelled", [])
    assert 0 < call.rate_limit_wait_seconds <= call.duration_seconds
    delays = seen.histogram("llm_provider_rate_limit_delays_seconds", provider="openai")
    assert (delays.count, delays.sum) == (1, pytest.approx(call.rate_limit_wait_seconds))
    assert len(simulators.served) == 0
    await provider.aclose()


def test_a_place_beyond_the_deadline_is_not_waited_for(simulators: Simulators, seen: Recording) -> None:
    for way in (way for way in WAYS if way.vendor == "openai" and not way.options):
        limiter = Limiter(requests_per_minute=1)
        limiter.reserve("openai", way.model, 1)
        with pytest.raises(ProviderTimeoutError, match="limiter asks for"):
            way.ask(way.provider(simulators, limiter=limiter), deadline=30.0)
        assert seen.llm_calls[-1].attempts == []
        assert seen.llm_calls[-1].outcome == "timeout"
    assert len(simulators.served) == 0


def test_an_estimate_counts_words_images_and_the_longest_answer() -> None:
    assert estimate_tokens(Request(model="m", messages="x" * 400, max_tokens=50)) == 151
