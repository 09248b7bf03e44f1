"""The metric families of the LLM side. Those marked `fixed` are required (docs/contract.md); the rest is ours."""

from __future__ import annotations

from typing import Final, Literal

from tachograph.records.cost import NANO_PER_USD
from tachograph.records.outcomes import ERROR_TYPES, OUTCOMES
from tachograph.records.usage import DETAILS
from tachograph.signals.family import Family

_REQUEST_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
_WHO: Final = ("provider", "model")

REQUEST_SECONDS: Final = Family(
    "llm_provider_request_seconds",
    "histogram",
    (*_WHO, "outcome"),
    "Duration of one request (attempt) on the wire to an LLM provider, streams until their end.",
    "seconds",
    buckets=_REQUEST_BUCKETS,
    values={"outcome": OUTCOMES},
    fixed=True,
    takes_user_labels=True,
)
TOKENS: Final = Family(
    "llm_provider_tokens_total",
    "counter",
    ("provider", "model", "type"),
    "Tokens used by calls; prompt includes cached tokens, completion includes reasoning tokens.",
    "tokens",
    values={"type": ("prompt", "completion")},
    fixed=True,
    takes_user_labels=True,
)
COST_USD: Final = Family(
    "llm_provider_cost_usd_total",
    "counter",
    _WHO,
    "Estimated cost of calls in US dollars; unpriced calls add nothing here and are counted apart.",
    "usd",
    fixed=True,
    takes_user_labels=True,
    scale=NANO_PER_USD,
)
ERRORS: Final = Family(
    "llm_provider_errors_total",
    "counter",
    ("provider", "model", "error_type"),
    "Requests (attempts) that failed, by category.",
    values={"error_type": ERROR_TYPES},
    fixed=True,
    takes_user_labels=True,
)
RATE_LIMIT_DELAYS: Final = Family(
    "llm_provider_rate_limit_delays_seconds",
    "histogram",
    ("provider",),
    "Time slept because of a rate limit, one observation per wait, by the SDK's retries or ours.",
    "seconds",
    buckets=(0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
    fixed=True,
)
CALL_SECONDS: Final = Family(
    "llm_call_seconds",
    "histogram",
    (*_WHO, "outcome"),
    "Duration of one call as the application asked for it, retries and waits included.",
    "seconds",
    buckets=_REQUEST_BUCKETS,
    values={"outcome": OUTCOMES},
    takes_user_labels=True,
)
FIRST_TOKEN_SECONDS: Final = Family(
    "llm_call_time_to_first_token_seconds",
    "histogram",
    _WHO,
    "Time from asking to the first content of a streamed answer: text, reasoning or a tool call.",
    "seconds",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
    takes_user_labels=True,
)
TOKEN_DETAILS: Final = Family(
    "llm_provider_token_details_total",
    "counter",
    ("provider", "model", "detail"),
    "Parts of the tokens in llm_provider_tokens_total; never to be added to them.",
    "tokens",
    values={"detail": DETAILS},
    zero={"detail": ("cache_read", "cache_write", "reasoning")},
    takes_user_labels=True,
)
UNPRICED_CALLS: Final = Family(
    "llm_calls_unpriced_total",
    "counter",
    _WHO,
    "Calls that used tokens of a model without a known price.",
    takes_user_labels=True,
)
USAGE_MISSING: Final = Family(
    "llm_calls_usage_missing_total",
    "counter",
    _WHO,
    "Calls that succeeded or were closed early without any usage reported.",
    takes_user_labels=True,
)
USAGE_MISMATCH: Final = Family(
    "llm_usage_mismatch_total",
    "counter",
    ("provider", "model", "reason"),
    "Answers whose usage contradicts itself, or whose stated cost contradicts the price list.",
    values={
        "reason": ("absurd", "early", "incomplete", "parts", "reasoning_outside", "stated_cost", "total", "zeros"),
    },
    takes_user_labels=True,
)


def _rate_limit(name: str, help: str, merge: Literal["max", "min"], unit: str = "") -> Family:
    kinds = ("requests", "tokens", "input_tokens", "output_tokens")
    return Family(name, "gauge", (*_WHO, "kind"), help, unit, values={"kind": kinds}, gauge_merge=merge)


RATE_LIMIT_LIMIT: Final = _rate_limit(
    "llm_provider_rate_limit_limit", "The provider's rate limit as its last answer stated it.", "max"
)
RATE_LIMIT_REMAINING: Final = _rate_limit(
    "llm_provider_rate_limit_remaining",
    "What is left of the provider's rate limit as its last answer stated it.",
    "min",
)
RATE_LIMIT_RESET: Final = _rate_limit(
    "llm_provider_rate_limit_reset_seconds", "Seconds until the provider's rate limit is whole again.", "max", "seconds"
)
RATE_LIMIT_EXHAUSTION: Final = _rate_limit(
    "llm_provider_rate_limit_exhaustion_seconds",
    "Forecast: seconds until the limit is met at the present rate; +Inf when it will not be.",
    "min",
    "seconds",
)
CALLS_IN_FLIGHT: Final = Family("llm_calls_in_flight", "gauge", _WHO, "Calls under way.", gauge_merge="sum")
CALL_OLDEST_SECONDS: Final = Family(
    "llm_call_oldest_seconds",
    "gauge",
    _WHO,
    "Age of the oldest call under way; 0 when there is none.",
    "seconds",
    gauge_merge="max",
)

FAMILIES: Final = tuple(family for family in globals().values() if isinstance(family, Family))
"""All of this file."""
