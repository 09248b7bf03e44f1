"""Providers that are too slow."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue import durations
from tachograph.catalogue.alerts.parts import BURN_RATES, HALF, exceeds, human, le, percent, share
from tachograph.catalogue.drill import Drill, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import Alert
from tachograph.settings.alerts import AlertsSettings

_FAMILY: Final = "llm_provider_request_seconds"
_CALLS: Final = "llm_call_seconds"
_MODEL: Final = {"provider": "gemini", "model": "gemini-2.5-pro"}
_TOP: Final = 120.0


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """The latency budget burns (four windows), and quantiles that the buckets can no longer show."""
    return (*_burn(s), _off_scale())


def _burn(s: AlertsSettings) -> tuple[Alert, ...]:
    allowed = 1 - s.latency_objective
    ratio = "provider:llm_call_slow:ratio_rate"
    seconds = human(s.latency_seconds)
    fast, slow = s.latency_seconds / 10, s.latency_seconds * 1.5
    drills = {
        "1h": ("1h30m", "1h30m", "30m", "1h15m", "15s"),
        "6h": ("7h", "6h", "2h", "5h", "1m"),
        "1d": ("26h", "12h", "5h", "9h", "2m"),
        "3d": ("74h", "22h", "8h", "20h", "2m"),
    }
    return tuple(
        Alert(
            name="LLMProviderLatencyBudgetBurn",
            expression=(
                f"{ratio}{long} > {share(factor, allowed)}\n"
                "and on (WHERE, provider)\n"
                f"{ratio}{short} > {share(factor, allowed)}\n"
                "and on (WHERE, provider)\n"
                f"avg_over_time(provider:llm_call_successes:rate5m[{long}]) * {number(durations.seconds(long))} >= 20\n"
                "and on (WHERE, provider)\n"
                f"{ratio}{long} offset {HALF[long]}"
            ),
            hold=hold,
            severity="warning",
            component="llm_provider",
            more_labels=(("slo", "llm_provider_latency"), ("long", long), ("short", short)),
            summary=f"{{{{ $labels.provider }}}} is too slow (over {long} and {short})",
            description=(
                f"{{{{ $value | humanizePercentage }}}} of successful calls to {{{{ $labels.provider }}}} took over "
                f"{seconds} over {long}: {exceeds(factor)} what the objective of "
                f"{percent(s.latency_objective)} allows."
            ),
            drill=Drill(
                series=(Histogram(_CALLS, {**_MODEL, "outcome": "success"}, ({fast: 1.0}, {slow: 1.0}, {fast: 1.0})),),
                within=drills[long][3],
                labels={"provider": "gemini"},
                quiet=drills[long][0],
                trouble=drills[long][1],
                after=drills[long][2],
                step=drills[long][4],
            ),
        )
        for long, short, factor, hold, _ in BURN_RATES
    )


def _off_scale() -> Alert:
    return Alert(
        name="LLMProviderLatencyOffScale",
        expression=(
            "(\n"
            f"  1 - sum by (WHERE, provider, model) (rate({_FAMILY}_bucket{{{le(_TOP)}}}[10m]))\n"
            f"  / (sum by (WHERE, provider, model) (rate({_FAMILY}_count[10m])) > 0)\n"
            ") > 0.05\n"
            "and\n"
            f"sum by (WHERE, provider, model) (increase({_FAMILY}_count[10m]))\n"
            f"- sum by (WHERE, provider, model) (increase({_FAMILY}_bucket{{{le(_TOP)}}}[10m])) >= 3"
        ),
        hold="10m",
        severity="info",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: p95 is above the 120s bucket",
        description=(
            "{{ $value | humanizePercentage }} of requests take longer than the highest bucket: every p95 shown is a "
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
