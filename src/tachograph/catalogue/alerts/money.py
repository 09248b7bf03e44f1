"""Money that bought nothing, and bills that differ from the ledger."""

from __future__ import annotations

from tachograph.catalogue.drill import Counter, Drill, Gauge
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Waste, and bills that differ or are not fetched."""
    return (_waste(s), _drift(s), _stale())


def _waste(s: AlertsSettings) -> Alert:
    floor = s.waste_floor_usd_per_hour / 3600
    cost = floor / s.waste_share * 4
    wasted = (
        {"provider": "openai", "model": "gpt-5", "cause": "duplicate"},
        (0.0, cost * min(0.95, s.waste_share * 2), 0.0),
    )
    return Alert(
        name="LLMWasteHigh",
        expression=(
            "(sum by (WHERE, provider) (rate(llm_waste_usd_total[1h])) * 3600"
            f" > {number(s.waste_floor_usd_per_hour)})\n"
            "/\n"
            "(provider:llm_provider_cost_usd_per_hour:rate1h > 0)\n"
            f"> {number(s.waste_share)}"
        ),
        hold="15m",
        severity="warning",
        component="llm_provider",
        summary=SHARE + " of what {{ $labels.provider }} costs buys nothing",
        description=(
            "Over 1h " + SHARE + " of the cost of {{ $labels.provider }} went to calls that "
            "failed, were aborted or asked the same again, to loops, to prompts that missed the cache, or to tool "
            "definitions that are never used. llm_waste_usd_total has the cause."
        ),
        drill=Drill(
            series=(
                Counter("llm_provider_cost_usd_total", {"provider": "openai", "model": "gpt-5"}, (cost, cost, cost)),
                Counter("llm_waste_usd_total", *wasted),
            ),
            within="80m",
            labels={"provider": "openai"},
            quiet="70m",
            trouble="90m",
            after="70m",
            step="30s",
        ),
    )


def _drift(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMBillDrift",
        expression=f"max by (WHERE, provider) (abs(llm_bill_drift_ratio)) > {number(s.bill_drift_share)}",
        hold="10m",
        severity="warning",
        component="usage",
        summary="{{ $labels.provider }} bills " + SHARE + " other than the ledger says",
        description=(
            "Over the last two weeks' complete days the bill of {{ $labels.provider }} and the ledger differ by "
            + SHARE
            + ". llm_bill_cause_usd names the causes."
        ),
        drill=Drill(
            series=(Gauge("llm_bill_drift_ratio", {"provider": "openai"}, (0.0, s.bill_drift_share * 2, 0.0)),),
            within="11m",
            labels={"provider": "openai"},
        ),
    )


def _stale() -> Alert:
    day = 86400.0
    return Alert(
        name="LLMBillNotFetched",
        expression="min by (provider) (llm_bill_age_seconds) > 172800",
        hold="10m",
        severity="warning",
        component="usage",
        summary="The bill of {{ $labels.provider }} was last fetched {{ $value | humanizeDuration }} ago",
        description=(
            "tachograph reconcile --watch could not fetch or compare the bill of {{ $labels.provider }} for "
            "{{ $value | humanizeDuration }}: LLMBillDrift is blind."
        ),
        drill=Drill(
            series=(Gauge("llm_bill_age_seconds", {"provider": "openai"}, (day / 2, day * 3, 60.0)),),
            within="11m",
            labels={"provider": "openai"},
        ),
    )
