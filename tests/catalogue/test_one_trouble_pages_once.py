"""What fires together in one trouble, sent to a real Alertmanager: one page, with the cause in it, and little else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.alertmanager import Alertmanager, alertmanager, wait_for_silence
from support.exhaustive import part
from tachograph import catalogue
from tachograph.console.notify import Notifier
from tachograph.console.notify.message import Notification, NotifiedAlert
from tachograph.console.notify.notifier import Snapshot
from tachograph.console.notify.state import State
from tachograph.settings import load

RULES = {
    (alert.name, alert.labels.get("long", "")): alert.labels
    for group in catalogue.rule_groups()
    for alert in group.alerts
}


def firing(name: str, long: str = "", **labels: str) -> dict[str, str]:
    return {"alertname": name, "job": "tachograph", **RULES[name, long], **labels}


def errors(provider: str, error_type: str, *models: str) -> list[dict[str, str]]:
    target = {"instance": "app:1", "job": "tachograph"}
    return [
        firing("HighProviderErrorRate", provider=provider, model=model, error_type=error_type, **target)
        for model in models
    ]


TOOL = {"server_id": "workshop", "tool_name": "weather"}

TROUBLES = {
    # trouble: (what fires, alerts of the one page, alerts of all tickets)
    "a provider is down": (
        [
            *errors("anthropic", "server_error", "opus", "haiku"),
            firing("LLMProviderDown", provider="anthropic"),
            firing("LLMProviderErrorRatioHigh", provider="anthropic", model="opus"),
            firing("LLMProviderErrorBudgetBurn", "1h", provider="anthropic"),
            firing("LLMProviderErrorBudgetBurn", "6h", provider="anthropic"),
            firing("LLMModelDown", provider="anthropic", model="opus"),
            firing("LLMCallsFailing", provider="anthropic", model="opus"),
        ],
        {"LLMProviderDown"},
        set(),
    ),
    "a key was revoked": (
        [
            *errors("openai", "auth", "gpt-5"),
            firing("LLMProviderAuthFailure", provider="openai"),
            firing("LLMProviderDown", provider="openai"),
            firing("LLMProviderErrorRatioHigh", provider="openai", model="gpt-5"),
            firing("LLMProviderErrorBudgetBurn", "1h", provider="openai"),
        ],
        {"LLMProviderAuthFailure"},
        set(),
    ),
    "an MCP server is gone": (
        [
            firing("MCPServerDisconnected", server_id="workshop"),
            firing("MCPConnectionErrors", server_id="workshop"),
            firing("HighMCPToolErrorRate", error_kind="connection", instance="app:1", job="tachograph", **TOOL),
            firing("MCPToolErrorRatioHigh", **TOOL),
            firing("MCPServerErrorBudgetBurn", "1h", server_id="workshop"),
        ],
        {"MCPServerDisconnected"},
        set(),
    ),
    "too much is spent": (
        [
            firing("HighProviderCost", provider="anthropic", model="opus", instance="app:1", job="tachograph"),
            firing("LLMCostTotalHigh"),
            firing("LLMTokenSpike", provider="anthropic", model="opus"),
        ],
        {"LLMCostTotalHigh"},
        set(),
    ),
    "the ledger stands still": (
        [
            firing("LLMUsagePersistStalled"),
            firing("LLMUsagePersistErrors", error_type="db_error"),
            firing("LLMUsagePersistErrorRatioHigh"),
            firing("LLMUsagePersistLag"),
            firing("LLMUsagePersistBacklog"),
        ],
        {"LLMUsagePersistStalled"},
        set(),
    ),
    "rate limits": (
        [
            *errors("openai", "rate_limit", "gpt-5"),
            firing("LLMProviderRateLimitSaturation", provider="openai", model="gpt-5"),
            firing("LLMProviderRateLimitBlocking", provider="openai"),
        ],
        set(),
        {"LLMProviderRateLimitSaturation"},
    ),
    "rate limits, and a fault beside them": (
        [
            *errors("openai", "rate_limit", "gpt-5"),
            *errors("openai", "server_error", "gpt-5"),
            firing("LLMProviderRateLimitSaturation", provider="openai", model="gpt-5"),
        ],
        set(),
        {"LLMProviderRateLimitSaturation", "HighProviderErrorRate"},
    ),
    "a slow tool": (
        [
            firing("SlowToolExecution", outcome="success", instance="app:1", job="tachograph", **TOOL),
            firing("MCPToolSlowRatioHigh", **TOOL),
        ],
        set(),
        {"MCPToolSlowRatioHigh"},
    ),
}


@pytest.fixture
def server() -> Iterator[Alertmanager]:
    with alertmanager() as found:
        yield found


@pytest.mark.parametrize("trouble", part(TROUBLES, "a provider is down", "rate limits, and a fault beside them"))
def test_one_trouble_makes_one_notification(trouble: str, server: Alertmanager) -> None:
    alerts, page, tickets = TROUBLES[trouble]
    server.post(alerts)
    wait_for_silence(server, "page" if page else "ticket")
    assert [{name for name, _ in one.alerts} for one in server.sent("page")] == ([page] if page else [])
    assert [{name for name, _ in one.alerts} for one in server.sent("ticket")] == ([tickets] if tickets else [])


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_console_sends_what_alertmanager_sends(trouble: str) -> None:
    alerts, page, tickets = TROUBLES[trouble]
    receivers = {name: {"kind": "webhook", "url": "http://127.0.0.1:1/"} for name in ("page", "ticket")}
    routes = [
        {"match": {"severity": "critical"}, "receivers": ["page"]},
        {"match": {"severity": "warning"}, "receivers": ["ticket"]},
    ]
    settings = load({"notify": {"receivers": receivers, "routes": routes}}, environ={}, read_file=False)
    sent: list[Notification] = []
    fires = Snapshot(firing=tuple(NotifiedAlert(labels=labels, annotations={}, since=0.0) for labels in alerts))
    notifier = Notifier(
        settings.notify,
        settings.alerts.identity,
        State(None),
        lambda: fires,
        deliver=lambda _, one, __: sent.append(one) or "",
    )
    for now in range(0, 120, 5):
        notifier.look(float(now))
        notifier.deliver(float(now))
    notifier.close()
    assert [{a.name for a in one.firing} for one in sent if one.receiver == "page"] == ([page] if page else [])
    assert [{a.name for a in one.firing} for one in sent if one.receiver == "ticket"] == ([tickets] if tickets else [])


def test_two_providers_in_trouble_are_two_pages(server: Alertmanager) -> None:
    server.post([firing("LLMProviderDown", provider="openai"), firing("LLMProviderDown", provider="gemini")])
    wait_for_silence(server, "page")
    assert len(server.sent("page")) == 2


OLD_OR_ELSEWHERE = {
    # what fires first, and what is no consequence of it
    "a slow burn of days and a new fault of another model": (
        firing("LLMProviderErrorBudgetBurn", "3d", provider="openai"),
        firing("LLMProviderErrorRatioHigh", provider="openai", model="other"),
    ),
    "a slow burn of an MCP server and a new fault of one tool": (
        firing("MCPServerErrorBudgetBurn", "3d", server_id="workshop"),
        firing("MCPToolErrorRatioHigh", **TOOL),
    ),
    "money spent by another application": (
        firing("LLMCostTotalHigh", job="staging"),
        firing("HighProviderCost", provider="gemini", model="x", instance="app:1"),
    ),
    "another application whose targets are gone": (
        firing("LLMMonitorAbsent", job="staging"),
        firing("LLMProviderTrafficStopped", provider="openai"),
    ),
}


@pytest.mark.parametrize("what", part(OLD_OR_ELSEWHERE, "money spent by another application"))
def test_what_is_old_or_elsewhere_keeps_nothing_silent(what: str, server: Alertmanager) -> None:
    old, new = OLD_OR_ELSEWHERE[what]
    server.post([old, new])
    wait_for_silence(server, "ticket")
    assert new["alertname"] in {name for one in server.sent("ticket") for name, _ in one.alerts}


def test_a_key_revoked_in_staging_keeps_no_outage_of_production_silent(server: Alertmanager) -> None:
    staging, production = {"provider": "anthropic", "job": "staging"}, {"provider": "anthropic"}
    server.post([firing("LLMProviderAuthFailure", **staging), firing("LLMProviderDown", **production)])
    wait_for_silence(server, "page")
    paged = {name for one in server.sent("page") for name, _ in one.alerts}
    assert paged == {"LLMProviderAuthFailure", "LLMProviderDown"}


def test_the_watchdog_goes_to_its_own_receiver_and_to_nobody_else(server: Alertmanager) -> None:
    server.post([firing("LLMMonitorWatchdog")])
    wait_for_silence(server, "watchdog")
    assert {one.receiver for one in server.receiver.notifications} == {"watchdog"}
