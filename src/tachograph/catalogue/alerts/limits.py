"""Rate limits: refused too often, or waiting too much."""

from __future__ import annotations

from tachograph.catalogue.drill import Counter, Drill, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_REQUESTS = "provider_model_outcome:llm_provider_requests:rate5m"
_MODEL = {"provider": "anthropic", "model": "claude-sonnet-5"}


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Saturation by share of requests, blocking by time waited."""
    by = "WHERE, provider, model"
    often = min(0.9, s.rate_limited_share * 6)
    return (
        Alert(
            name="LLMProviderRateLimitSaturation",
            expression=(
                "(\n"
                f'  (sum by ({by}) ({_REQUESTS}{{outcome="rate_limited"}}) * 300 >= {s.error_floor}) / 300\n'
                "  /\n  (provider_model:llm_provider_requests_ended:rate5m > 0)\n"
                f") > {number(s.rate_limited_share)}"
            ),
            hold="5m",
            severity="warning",
            component="llm_provider",
            summary=("{{ $labels.provider }}/{{ $labels.model }}: " + SHARE + " of requests rate-limited"),
            description=(
                SHARE + " of requests to {{ $labels.provider }}/{{ $labels.model }} met the "
                "provider's limit over 5m: the quota is the bottleneck, not the code."
            ),
            drill=Drill(
                series=(
                    Histogram(
                        "llm_provider_request_seconds",
                        {**_MODEL, "outcome": "success"},
                        ({1.5: 1.0}, {1.5: 1 - often}, {1.5: 1.0}),
                    ),
                    Histogram(
                        "llm_provider_request_seconds",
                        {**_MODEL, "outcome": "rate_limited"},
                        ({0.1: 0.0}, {0.1: often}, {0.1: 0.0}),
                    ),
                ),
                within="8m",
                labels=_MODEL,
            ),
        ),
        Alert(
            name="LLMProviderRateLimitBlocking",
            expression=(
                "sum by (WHERE, provider) (rate(llm_provider_rate_limit_delays_seconds_sum[5m])) > "
                f"{number(s.blocked_callers)}"
            ),
            hold="10m",
            severity="warning",
            component="llm_provider",
            summary='{{ $labels.provider }}: {{ $value | printf "%.1f" }} callers wait for rate limits at any moment',
            description=(
                '{{ $value | printf "%.1f" }} callers wait for rate limits of {{ $labels.provider }} at any moment: so '
                "many seconds of waiting are added each second."
            ),
            drill=Drill(
                series=(
                    Counter(
                        "llm_provider_rate_limit_delays_seconds_sum",
                        {"provider": "anthropic"},
                        (s.blocked_callers / 20, s.blocked_callers * 4, s.blocked_callers / 20),
                    ),
                ),
                within="13m",
                labels={"provider": "anthropic"},
                trouble="20m",
            ),
        ),
    )
