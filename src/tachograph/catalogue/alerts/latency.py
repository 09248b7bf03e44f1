"""Providers that are too slow."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.alerts.parts import burn_rates, human
from tachograph.catalogue.drill import Drill, Histogram
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_FAMILY: Final = "llm_provider_request_seconds"
_CALLS: Final = "llm_call_seconds"
_MODEL: Final = {"provider": "gemini", "model": "gemini-2.5-pro"}


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """The latency budget burns (four windows), and quantiles that the buckets can no longer show."""
    return (*_burn(s), _off_scale())


def _burn(s: AlertsSettings) -> tuple[Alert, ...]:
    fast, slow = s.latency_seconds / 10, s.latency_seconds * 1.5
    times = {
        "1h": ("1h30m", "1h30m", "30m", "1h15m", "15s"),
        "6h": ("7h", "6h", "2h", "5h", "1m"),
        "1d": ("26h", "12h", "5h", "9h", "2m"),
        "3d": ("74h", "22h", "8h", "20h", "2m"),
    }
    drills = {
        long: Drill(
            series=(Histogram(_CALLS, {**_MODEL, "outcome": "success"}, ({fast: 1.0}, {slow: 1.0}, {fast: 1.0})),),
            labels={"provider": "gemini"},
            quiet=quiet,
            trouble=trouble,
            after=after,
            within=within,
            step=step,
        )
        for long, (quiet, trouble, after, within, step) in times.items()
    }
    return burn_rates(
        Alert(
            name="LLMProviderLatencyBudgetBurn",
            expression="",
            hold="",
            severity="warning",
            component="llm_provider",
            more_labels=(("slo", "llm_provider_latency"),),
            summary="{{ $labels.provider }} is too slow (over LONG and SHORT)",
            description=(
                SHARE + " of successful calls to {{ $labels.provider }} took over "
                f"{human(s.latency_seconds)} over LONG: EXCEEDS what the objective of OBJECTIVE allows."
            ),
            drill=drills["1h"],
        ),
        level="provider",
        part="provider:llm_call_slow",
        counted="provider:llm_call_successes",
        objective=s.latency_objective,
        at_least=20,
        drills=drills,
    )


def _off_scale() -> Alert:
    off = "provider_model:llm_provider_requests_off_scale:rate5m"
    requests = "provider_model:llm_provider_requests:rate5m"
    return Alert(
        name="LLMProviderLatencyOffScale",
        expression=(
            f"(sum_over_time({off}[10m]) * INTERVAL >= 3) / INTERVAL\n/\n(sum_over_time({requests}[10m]) > 0)\n> 0.05"
        ),
        hold="10m",
        severity="info",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: p95 is above the 120s bucket",
        description=(
            SHARE + " of requests take longer than the highest bucket: every p95 shown is a "
            "flat 120s and understates the truth. Look at sum/count instead."
        ),
        drill=Drill(
            series=(Histogram(_FAMILY, {**_MODEL, "outcome": "success"}, ({2.0: 0.2}, {150.0: 0.2}, {2.0: 0.2})),),
            within="13m",
            labels=_MODEL,
            quiet="15m",
            trouble="20m",
            after="30m",
        ),
    )
