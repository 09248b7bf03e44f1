"""Rate-limit headers become gauges and a forecast; nonsense becomes nothing."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest

from support.ways import Way
from tachograph.llm import headroom as module
from tachograph.llm.headroom import Allowance, note_headers, read_allowances
from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, RateLimited, RateLimits, Simulators

NOW = 1_795_442_400.0  # 2026-11-23T14:00:00Z


def test_openai_headers() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "29000",
        "x-ratelimit-reset-tokens": "6m0.5s",
    }
    assert read_allowances(headers) == [
        Allowance("requests", 500, 499, 0.12),
        Allowance("tokens", 30000, 29000, 360.5),
    ]


def test_anthropic_headers() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-11-23T14:00:01Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-23T13:59:00+00:00",
        "anthropic-ratelimit-output-tokens-limit": "8000",
    }
    assert read_allowances(headers, now_unix=NOW) == [
        Allowance("requests", 50, 49, 1.0),
        Allowance("input_tokens", 30000, 0, 0.0),
        Allowance("output_tokens", 8000, None, None),
    ]


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("1s", 1.0), ("1h2m3s", 3723.0), ("1d", 86400.0), ("17ms", 0.017), ("2.5", 2.5), ("0s", 0.0)]
    + [(odd, None) for odd in ("", "soon", "-1s", "nan", "inf", "1e99", "99999d", "1s2h")],
)
def test_durations(reset: str, seconds: float | None) -> None:
    headers = {"x-ratelimit-limit-requests": "5", "x-ratelimit-reset-requests": reset}
    assert read_allowances(headers)[0].reset_seconds == seconds


@pytest.mark.parametrize("odd", ["", "-1", "nan", "inf", "1e15", "many", "0x10", " "])
def test_absurd_amounts_are_dropped(odd: str) -> None:
    assert read_allowances({"x-ratelimit-limit-requests": odd, "x-ratelimit-remaining-requests": odd}) == []
    (left,) = read_allowances({"anthropic-ratelimit-tokens-limit": "5", "anthropic-ratelimit-tokens-remaining": odd})
    assert left == Allowance("tokens", 5, None, None)


def test_more_left_than_the_limit_is_absurd() -> None:
    headers = {"anthropic-ratelimit-tokens-limit": "5", "anthropic-ratelimit-tokens-remaining": "6"}
    assert read_allowances(headers) == [Allowance("tokens", 5, None, None)]


def openai_headers(requests: int, tokens: int | None = None) -> dict[str, str]:
    headers = {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": str(requests),
        "x-ratelimit-reset-requests": "60s",
    }
    return headers if tokens is None else {**headers, "x-ratelimit-remaining-tokens": str(tokens)}


def test_the_forecast_follows_the_present_rate(seen: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    observe = partial(note_headers, seen.recorder)
    forecast: dict[str, Any] = {"provider": "openai", "model": "gpt-5", "kind": "requests"}

    observe("openai", "gpt-5", openai_headers(90))
    assert seen.series("llm_provider_rate_limit_exhaustion_seconds") == {}  # one look shows no rate
    clock[0] += 10
    observe("openai", "gpt-5", openai_headers(80))
    assert seen.value("llm_provider_rate_limit_exhaustion_seconds", **forecast) == pytest.approx(80.0)
    clock[0] += 10
    assert seen.value("llm_provider_rate_limit_reset_seconds", **forecast) == 50.0
    observe("openai", "gpt-5", openai_headers(0))
    assert seen.value("llm_provider_rate_limit_exhaustion_seconds", **forecast) == 0.0
    clock[0] += 61  # nothing is asked any more, and the limit is whole again
    assert seen.value("llm_provider_rate_limit_remaining", **forecast) == 100
    assert seen.value("llm_provider_rate_limit_reset_seconds", **forecast) == 0.0


def test_a_limit_that_does_not_shrink_is_never_met(seen: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    for _ in range(3):
        note_headers(seen.recorder, "openai", "gpt-5", openai_headers(100))
        clock[0] += 1
    assert seen.value("llm_provider_rate_limit_exhaustion_seconds", model="gpt-5") == math.inf


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_answers_and_refusals_set_the_gauges(
    vendor: str, is_stream: bool, simulators: Simulators, seen: Recording
) -> None:
    reset = "6m0s" if vendor == "openai" else "2099-01-01T00:00:00Z"
    first = RateLimits(
        requests_limit="100",
        requests_remaining="0",
        requests_reset=reset,
        tokens_limit="1000",
        tokens_remaining="absurd",
    )
    later = RateLimits(requests_limit="100", requests_remaining="60")
    getattr(simulators, vendor).script(
        RateLimited(retry_after=0.01, rate_limits=first), Answer(text="hi", rate_limits=later)
    )
    way = Way(vendor, False, is_stream)
    way.ask(way.provider(simulators))
    labels = {"provider": vendor, "model": way.model}
    assert seen.value("llm_provider_rate_limit_limit", kind="requests", **labels) == 100
    assert seen.value("llm_provider_rate_limit_remaining", kind="requests", **labels) == 60
    assert seen.value("llm_provider_rate_limit_limit", kind="tokens", **labels) == 1000
    remaining = seen.series("llm_provider_rate_limit_remaining")
    assert [dict(found)["kind"] for found in remaining] == ["requests"]


def test_gemini_says_nothing_and_makes_no_gauge(simulators: Simulators, seen: Recording) -> None:
    way = Way("gemini", False, False)
    way.ask(way.provider(simulators))
    assert seen.series("llm_provider_rate_limit_limit") == {}


@pytest.mark.parametrize("odd", [None, {}, {"x-ratelimit-limit-requests": 7}, {"date": "today"}])
def test_odd_headers_break_nothing(odd: Any, seen: Recording) -> None:
    note_headers(seen.recorder, "openai", "gpt-5", odd)
    assert seen.series("llm_provider_rate_limit_limit") == {}
