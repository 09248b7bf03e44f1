"""Alertmanager: which receiver gets which alerts, and which alerts are inhibited because another one says the same.

One trouble pages once. Alerts about the same provider or the same MCP server make one notification (`group_by`), and
an alert that is only a consequence of another one that fires is inhibited. Inhibition acts when a notification is due,
so `group_wait` leaves the cause 30s to show up beside its consequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tachograph.catalogue.export import yaml


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `source` fires, `targets` with the same values of `equal` keep silent."""

    source: str
    targets: tuple[str, ...]
    equal: tuple[str, ...] = ()
    target_matchers: tuple[str, ...] = ()
    source_matchers: tuple[str, ...] = ()


_FAST: Final = ('long!~"1d|3d"',)
"""A burn rate over days is old news: it keeps nothing silent that has just begun."""
_PROVIDER_FAILS: Final = (
    "HighProviderErrorRate",
    "LLMProviderErrorRatioHigh",
    "LLMProviderErrorBudgetBurn",
    "LLMProviderTrafficStopped",
    "LLMModelDown",
    "LLMCallsFailing",
    "LLMCallsGivenUp",
)
_MODEL_FAILS: Final = ("LLMCallsFailing", "LLMCallsGivenUp", "LLMProviderErrorRatioHigh", "HighProviderErrorRate")
_SERVER_FAILS: Final = (
    "HighMCPToolErrorRate",
    "MCPToolErrorRatioHigh",
    "MCPServerErrorBudgetBurn",
    "MCPToolTimeouts",
    "MCPToolDown",
    "MCPCallsGivenUp",
)
INHIBITIONS: Final = (
    Inhibition("LLMProviderAuthFailure", ("LLMProviderDown", *_PROVIDER_FAILS), ("provider",)),
    Inhibition("LLMProviderQuotaExhausted", ("LLMProviderDown", *_PROVIDER_FAILS), ("provider",)),
    Inhibition("LLMProviderDown", (*_PROVIDER_FAILS, "LLMProviderRateLimitSaturation"), ("provider",)),
    Inhibition(
        "LLMProviderRateLimitSaturation",
        ("HighProviderErrorRate",),
        ("provider", "model"),
        ('error_type="rate_limit"',),
    ),
    Inhibition("LLMProviderRateLimitSaturation", ("LLMProviderRateLimitBlocking",), ("provider",)),
    Inhibition("LLMModelDown", _MODEL_FAILS, ("provider", "model")),
    Inhibition("LLMModelRejected", ("LLMProviderErrorRatioHigh", "HighProviderErrorRate"), ("provider", "model")),
    Inhibition("LLMProviderHanging", ("LLMCallStuck", "LLMCallsGivenUp", "LLMProviderTrafficStopped"), ("provider",)),
    Inhibition("LLMCallsFailing", ("LLMProviderErrorBudgetBurn",), ("provider",)),
    Inhibition("LLMCallsFailing", ("LLMProviderErrorRatioHigh", "HighProviderErrorRate"), ("provider", "model")),
    Inhibition(
        "LLMProviderErrorBudgetBurn",
        ("LLMProviderErrorRatioHigh", "HighProviderErrorRate"),
        ("provider",),
        source_matchers=_FAST,
    ),
    Inhibition("LLMProviderErrorRatioHigh", ("HighProviderErrorRate",), ("provider", "model")),
    Inhibition("LLMCostTotalHigh", ("HighProviderCost", "LLMCostAnomaly", "LLMTokenSpike")),
    Inhibition("LLMBudgetSpent", ("LLMBudgetForecast",), ("budget",)),
    Inhibition("LLMTokenUsageTotalExcessive", ("ExcessiveTokenUsage", "LLMTokenSpike"), ("provider",)),
    Inhibition(
        "MCPServerDisconnected",
        ("MCPConnectionErrors", "MCPServerFlapping", "MCPServerDown", *_SERVER_FAILS),
        ("server_id",),
    ),
    Inhibition("MCPConnectionErrors", ("HighMCPToolErrorRate", "MCPToolErrorRatioHigh"), ("server_id",)),
    Inhibition("MCPServerDown", _SERVER_FAILS, ("server_id",)),
    Inhibition(
        "MCPServerErrorBudgetBurn",
        ("HighMCPToolErrorRate", "MCPToolErrorRatioHigh"),
        ("server_id",),
        source_matchers=_FAST,
    ),
    Inhibition("MCPToolDown", ("HighMCPToolErrorRate", "MCPToolErrorRatioHigh"), ("server_id", "tool_name")),
    Inhibition("MCPToolErrorRatioHigh", ("HighMCPToolErrorRate", "MCPToolTimeouts"), ("server_id", "tool_name")),
    Inhibition("MCPToolTimeouts", ("SlowToolExecution", "MCPToolSlowRatioHigh"), ("server_id", "tool_name")),
    Inhibition("MCPToolSlowRatioHigh", ("SlowToolExecution",), ("server_id", "tool_name")),
    Inhibition(
        "LLMUsagePersistStalled",
        ("LLMUsagePersistLag", "LLMUsagePersistBacklog", "LLMUsagePersistErrors", "LLMUsagePersistErrorRatioHigh"),
    ),
    Inhibition(
        "LLMUsagePersistErrorRatioHigh", ("LLMUsagePersistErrors", "LLMUsagePersistLag", "LLMUsagePersistBacklog")
    ),
    Inhibition("LLMUsagePersistLag", ("LLMUsagePersistBacklog",)),
    Inhibition("LLMUsageRecordsLost", ("LLMUsageLossSuspected",)),
    Inhibition("LLMMonitorTargetDown", ("LLMMonitorScrapeTooSparse",), ("instance",)),
    Inhibition("LLMMonitorAllTargetsDown", ("LLMMonitorTargetDown", "LLMProviderTrafficStopped")),
    Inhibition("LLMMonitorPushStopped", ("LLMProviderTrafficStopped", "LLMMonitorPushTooSparse")),
    Inhibition("LLMMonitorAbsent", ("LLMProviderTrafficStopped",)),
)

GROUP_BY: Final = ("component", "provider", "server_id")
"""Alerts that agree in these labels, and in the identity labels, make one notification."""
EXTERNAL: Final = ("cluster", "region", "environment", "env")
"""Usual `external_labels` of a Prometheus, which stand on every alert that it sends: where several of them share an
Alertmanager, what differs in one of these is kept apart. A label that no alert has is the same in all."""

_RECEIVERS: Final = ("tachograph-page", "tachograph-ticket", "tachograph-note", "tachograph-watchdog")


def config_text(
    page_url: str, ticket_url: str, note_url: str, watchdog_url: str, identity: tuple[str, ...] = ("job",)
) -> str:
    """A whole alertmanager.yml with webhook receivers, to be replaced by your own receivers."""
    return yaml.dump(
        config(page_url, ticket_url, note_url, watchdog_url, identity=identity),
        "Made by `tachograph export`. The receivers are placeholders: put your pager, your tracker and your chat in\n"
        "their place, and keep the names, the routes and the inhibitions.",
    )


def config(
    page_url: str,
    ticket_url: str,
    note_url: str,
    watchdog_url: str,
    *,
    identity: tuple[str, ...] = ("job",),
    group_wait: str = "30s",
    group_interval: str = "5m",
) -> dict[str, Any]:
    """Routes by severity, one notification per trouble, inhibitions."""
    routes = [
        {
            "matchers": ['alertname="LLMMonitorWatchdog"'],
            "receiver": "tachograph-watchdog",
            "group_wait": "0s",
            "group_interval": "1m",
            "repeat_interval": "5m",
        },
        {"matchers": ['severity="critical"'], "receiver": "tachograph-page", "repeat_interval": "4h"},
        {"matchers": ['severity="warning"'], "receiver": "tachograph-ticket", "repeat_interval": "24h"},
        {"matchers": ['severity=~"info|none"'], "receiver": "tachograph-note", "repeat_interval": "24h"},
    ]
    return {
        "route": {
            "receiver": "tachograph-ticket",
            "group_by": list(dict.fromkeys((*identity, *GROUP_BY, *EXTERNAL))),
            "group_wait": group_wait,
            "group_interval": group_interval,
            "repeat_interval": "24h",
            "routes": [
                {
                    "matchers": ['component=~"llm_provider|mcp|factory|usage|telemetry"'],
                    "receiver": "tachograph-ticket",
                    "routes": routes,
                }
            ],
        },
        "inhibit_rules": [_inhibition(one, identity) for one in INHIBITIONS],
        "receivers": [
            {"name": name, "webhook_configs": [{"url": url, "send_resolved": name != "tachograph-watchdog"}]}
            for name, url in zip(_RECEIVERS, (page_url, ticket_url, note_url, watchdog_url), strict=True)
        ],
    }


def _inhibition(one: Inhibition, identity: tuple[str, ...]) -> dict[str, Any]:
    """A rule of Alertmanager; what is elsewhere, by the identity labels, is never kept silent."""
    targets = one.targets
    match = f'alertname="{targets[0]}"' if len(targets) == 1 else f'alertname=~"{"|".join(targets)}"'
    return {
        "source_matchers": [f'alertname="{one.source}"', *one.source_matchers],
        "target_matchers": [match, *one.target_matchers],
        "equal": list(dict.fromkeys((*equal(one, identity), *EXTERNAL))),
    }


def equal(one: Inhibition, identity: tuple[str, ...]) -> list[str]:
    """The labels that both alerts must share: alerts about a fleet carry no instance."""
    where = [label for label in identity if label != "instance"]
    if one.source.startswith("LLMUsage"):
        where = [label for label in where if label != "job"]
    return list(dict.fromkeys((*where, *one.equal)))
