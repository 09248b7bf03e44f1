"""The tool registry and the factories."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.alerts.parts import human
from tachograph.catalogue.drill import Drill, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_LOOKUP: Final = "mcp_tool_registry_lookup_seconds"


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Lookups that miss or drag, creations that drag."""
    return (_misses(s), _slow(s), _factory(s))


def _misses(s: AlertsSettings) -> Alert:
    often = min(0.9, s.registry_miss_share * 3)
    return Alert(
        name="MCPRegistryMissRatioHigh",
        expression=(
            "(\n"
            f'  sum by (WHERE) (rate({_LOOKUP}_count{{outcome="miss"}}[10m]))\n'
            "  /\n"
            f"  (sum by (WHERE) (rate({_LOOKUP}_count[10m])) > 0)\n"
            f") > {number(s.registry_miss_share)}\n"
            "and\n"
            f"sum by (WHERE) (increase({_LOOKUP}_count[10m])) >= 50"
        ),
        hold="10m",
        severity="warning",
        component="mcp",
        summary=SHARE + " of tool registry lookups miss",
        description=(
            SHARE + " of lookups over 10m were not in the index: tools that were renamed or "
            "never registered, an index that expires too soon, or models that invent tool names."
        ),
        drill=Drill(
            series=(
                Histogram(_LOOKUP, {"outcome": "hit"}, ({0.00002: 1.0}, {0.00002: 1 - often}, {0.00002: 1.0})),
                Histogram(_LOOKUP, {"outcome": "miss"}, ({0.005: 0.01}, {0.005: often}, {0.005: 0.01})),
            ),
            within="17m",
            quiet="15m",
            trouble="20m",
        ),
    )


def _slow(s: AlertsSettings) -> Alert:
    fast, slow = s.registry_seconds / 200, s.registry_seconds * 5
    return Alert(
        name="MCPRegistryLookupSlow",
        expression=(
            f'histogram_quantile(0.99, sum by (WHERE, le) (rate({_LOOKUP}_bucket{{outcome="hit"}}[10m]))) > '
            f"{number(s.registry_seconds)}"
        ),
        hold="10m",
        severity="warning",
        component="mcp",
        summary="Tool registry p99 lookup is {{ $value | humanizeDuration }}",
        description=(
            "p99 of lookups answered from the index is {{ $value | humanizeDuration }}, above "
            f"{human(s.registry_seconds)}: contention, or a blocked event loop (100ms means 100ms or more). Misses "
            "load from the server and are not counted here."
        ),
        drill=Drill(
            series=(Histogram(_LOOKUP, {"outcome": "hit"}, ({fast: 1.0}, {slow: 1.0}, {fast: 1.0})),),
            within="12m",
            quiet="15m",
            trouble="20m",
            after="25m",
        ),
    )


def _factory(s: AlertsSettings) -> Alert:
    by = "sum by (WHERE, factory_type, name)"
    labels = {"factory_type": "provider", "name": "openai"}
    fast, slow = s.factory_seconds / 50, s.factory_seconds * 6
    return Alert(
        name="FactoryCreateSlow",
        expression=(
            "(\n"
            f"  {by} (rate(factory_create_seconds_sum[30m]))\n"
            "  /\n"
            f"  ({by} (rate(factory_create_seconds_count[30m])) > 0)\n"
            f") > {number(s.factory_seconds)}\n"
            "and\n"
            f"{by} (increase(factory_create_seconds_count[30m])) >= 3"
        ),
        hold="10m",
        severity="warning",
        component="factory",
        summary=(
            "Factory {{ $labels.factory_type }}/{{ $labels.name }}: creation takes {{ $value | humanizeDuration }}"
        ),
        description=(
            "The mean creation time over 30m is {{ $value | humanizeDuration }}. A quantile cannot show this: the "
            "highest bucket is 10ms."
        ),
        drill=Drill(
            series=(Histogram("factory_create_seconds", labels, ({fast: 0.01}, {slow: 0.01}, {fast: 0.01})),),
            within="20m",
            labels=labels,
            quiet="35m",
            trouble="30m",
            after="45m",
        ),
    )
