"""The incident of every alert shows the calls that its trouble is made of, or says why no call shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from tachograph import catalogue
from tachograph.catalogue.drill import Counter, Histogram
from tachograph.catalogue.rules import Alert
from tachograph.console.api import catalogue as page
from tachograph.console.calls import Call, CallAttempt, CallDetail
from tachograph.console.columns import Filter
from tachograph.console.console import Console
from tachograph.console.promql.labels import labels_of
from tachograph.console.rules import ActiveAlert
from tachograph.console.store import CallStore
from tachograph.console.views import Views

ALERTS = {alert.name: alert for group in catalogue.rule_groups() for alert in group.alerts}
NO_CALL_SHOWS_IT = {
    "LLMProviderHanging", "LLMCallStuck", "LLMProviderTrafficStopped", "MCPServerDisconnected", "MCPServerFlapping",
    "MCPRegistryMissRatioHigh", "MCPRegistryLookupSlow",
}  # fmt: skip
"""Beside all that is about the monitoring, the ledger and factories."""
TEAM = {"budget": "team", "period": "month"}
BEFORE, TROUBLE = 1200.0, 300.0
_numbers = count(1)


def made(at: float, **facts: Any) -> CallDetail:
    """One call, an LLM's unless a server is named."""
    identity = f"{next(_numbers):032x}"
    error, tries = facts.pop("error", None), facts.pop("tries", [])
    kind = "tool" if "server_id" in facts else "llm"
    named = {} if kind == "tool" else {"provider": "openai", "model": "gpt-5", "attempts": 1}
    known = {"outcome": "success", "trace_id": identity, "span_id": identity[16:], "duration_seconds": 1.0}
    return CallDetail(Call(**{"id": identity, "kind": kind, "time": at, **named, **known, **facts}), tries, error)


@dataclass
class Told:
    """A console without a server, and what it answers."""

    console: Console
    now: float

    def put(self, *calls: CallDetail) -> None:
        self.console.calls.add_all([(call, None) for call in calls], wait=True)

    def measure(self, *samples: tuple[str, Mapping[str, str], float]) -> None:
        rows = [(labels_of({"__name__": name, **labels}), value) for name, labels, value in samples]
        self.console.store.ingest("test", int((self.now - 20) * 1000), rows)

    def fire(self, name: str, labels: dict[str, str], since: float) -> None:
        """Let an alert fire, as an evaluation would leave it."""
        rule = next(rule for group in self.console.rules.groups for rule in group.rules if rule.name == name)
        whole = labels_of({"alertname": name, **rule.labels, **labels})
        at = int(since * 1000)
        rule.active[whole] = ActiveAlert(whole, dict(rule.annotations), 1.0, "firing", at, at)

    def incident(self, name: str) -> dict[str, Any]:
        found = Views(self.console).incident(name)
        assert found is not None
        return found


@pytest.fixture
def told() -> Iterator[Told]:
    with_rules = Console(rule_groups=page.rule_groups())
    yield Told(with_rules, time.time())
    with_rules.close()


MADE: dict[str, dict[str, Any]] = {
    "llm_provider_rate_limit_delays_seconds_sum": {"wait_seconds": 8.0},
    "llm_provider_errors_total": {"outcome": "error"},
    "mcp_tool_errors_total": {"outcome": "error"},
    "llm_provider_cost_usd_total": {"cost_usd": "0.5", "input_tokens": 10, "output_tokens": 10},
    "llm_provider_tokens_total": {"input_tokens": 10_000, "output_tokens": 10},
    "llm_calls_unpriced_total": {"input_tokens": 10, "output_tokens": 10},
    "llm_usage_mismatch_total": {"input_tokens": 10, "output_tokens": 10, "usage_mismatch": "total"},
    "llm_calls_usage_missing_total": {},
}
"""What a call had that was counted in a family."""


def calls_of(alert: Alert, now: float) -> list[CallDetail]:
    """The calls that would have made an alert's synthetic series: quiet, then trouble for the last five minutes."""
    found = []
    for series in alert.drill.series:
        labels = dict(series.labels)
        facts: dict[str, Any] = {k: labels[k] for k in ("provider", "model", "server_id", "tool_name") if k in labels}
        if isinstance(series, Histogram) and facts:
            facts["outcome"] = outcome = labels.get("outcome", "success")
            if outcome not in ("success", "cancelled"):
                facts["error_kind" if "server_id" in labels else "error_type"] = "server_error"
            for seconds in series.observed[0] or {}:
                found += [made(now - BEFORE + n, **facts, duration_seconds=seconds) for n in range(20)]
            for seconds, rate in (series.observed[1] or {}).items():
                found += [made(now - TROUBLE + n, **facts, duration_seconds=seconds) for n in range(8 if rate else 0)]
        elif isinstance(series, Counter) and facts and series.name in MADE:
            kinds = {k: labels[k] for k in ("error_type", "error_kind") if k in labels}
            found += [made(now - TROUBLE + n, **facts, **kinds, **MADE[series.name]) for n in range(8)]
    return found


def test_each_alert_has_its_evidence_or_says_why_not(told: Told) -> None:
    wrong = []
    told.measure(("llm_budget_limit_usd", TEAM, 10.0), ("llm_budget_spent_usd", TEAM, 9.0))
    for name, alert in ALERTS.items():
        told.console.calls = CallStore(None, max_calls=1000)
        told.put(*calls_of(alert, told.now))
        told.fire(name, dict(alert.drill.labels), told.now - 60)
        found = told.incident(name)
        hits, spent = found["hits"], found["spent"]
        told.console.calls.close()
        if found["about"] == "telemetry" or name in NO_CALL_SHOWS_IT:
            shows = bool(hits["none"]) and not hits["hit"]
        elif found["about"] == "cost":
            shows = bool(hits["none"] and (spent["usd"] or spent["tokens"][0] or spent["budgets"]))
        else:
            counted = sum(row["calls"] for row in found["groups"])
            shows = bool(hits["verb"]) and counted == hits["hit"] > 0 and found["timeline"][0]["kind"] == "first"
        if not shows:
            wrong.append((name, found["about"], hits, found["timeline"][:1]))
    assert wrong == []


def test_calls_that_were_given_up_are_counted_named_and_blamed_on_who_does_not_answer(told: Told) -> None:
    now = told.now
    told.put(*(made(now - 1500 + 10 * n) for n in range(80)))
    lost = {"outcome": "cancelled", "duration_seconds": 30.0}
    told.put(*(made(now - 520 + 10 * n, **lost) for n in range(48)))
    told.put(*(made(now - 480 + n, provider="anthropic", model="claude-sonnet-5") for n in range(40)))
    told.fire("LLMCallsGivenUp", {"provider": "openai", "model": "gpt-5"}, now - 300)
    found = told.incident("LLMCallsGivenUp")
    assert (found["hits"]["hit"], found["hits"]["verb"]) == (48, "were given up by the application")
    assert found["fault"]["party"] == "provider"
    assert found["fault"]["evidence"] == [
        "The application cancelled them after 30 s; answers took 1 s (p95) before.",
        "Only OpenAI; the others answer.",
    ]
    assert (found["timeline"][0]["kind"], found["timeline"][0]["at"]) == ("first", pytest.approx(now - 520))
    (group,) = found["groups"]
    assert (group["calls"], group["link"]["outcome"]) == (48, "cancelled")
    views = Views(told.console)
    first = views.now(now - 900, now)
    said = "OpenAI does not answer: 48 calls given up by the application since {since}, gpt-5; others healthy."
    assert (first["sentence"]["text"], first["sentence"]["since"]) == (said, pytest.approx(now - 520))
    row = first["providers"]["rows"][0]
    assert (row["model"], row["failed"], row["given_up"], row["errors"]) == ("gpt-5", 0, 48, [["given up", 48]])
    assert views.explore(now - 900, now, Filter(), "errors")["errors"][0]["calls"] == 48
    short = views.now(now - 120, now)
    assert short["sentence"]["since"] == pytest.approx(now - 520)  # before the range
    told.put(made(now - 2))
    assert Views(told.console).now(now - 900, now)["sentence"]["level"] == "over"


@pytest.mark.parametrize(
    ("what", "length", "between"),
    [("readers who stop an answer", 0.4, 1000), ("requests that another one overtook", 8.0, 2)],
)
def test_calls_cancelled_early_or_between_successes_are_no_trouble(
    told: Told, what: str, length: float, between: int
) -> None:
    facts = {"outcome": "cancelled", "duration_seconds": length}
    told.put(*(made(told.now - 600 + 5 * n, **({} if n % between == 0 else facts)) for n in range(100)))
    first = Views(told.console).now(told.now - 900, told.now)
    assert (first["sentence"]["level"], first["troubles"]) == ("good", [])


def test_a_trouble_of_two_providers_is_the_networks_whichever_the_alert_is_about(told: Told) -> None:
    bad = {"outcome": "error", "error_type": "connection", "error": "APIConnectionError: unreachable"}
    others = ({}, {"provider": "anthropic", "model": "claude-sonnet-5"})
    told.put(*(made(told.now - 100 + n, **bad, **other) for other in others for n in range(20)))
    told.fire("LLMProviderDown", {"provider": "openai"}, told.now - 60)
    assert told.incident("LLMProviderDown")["fault"]["party"] == "network"


def test_a_server_that_times_out_beside_one_that_answers_is_the_servers_fault(told: Told) -> None:
    tool = {"server_id": "search", "tool_name": "web_search"}
    told.put(*(made(told.now - 100 + n, **tool, outcome="timeout", error_kind="timeout") for n in range(20)))
    told.put(*(made(told.now - 100 + n, server_id="files", tool_name="read") for n in range(20)))
    told.put(*(made(told.now - 100 + n) for n in range(20)))
    told.fire("MCPToolTimeouts", tool, told.now - 60)
    found = told.incident("MCPToolTimeouts")
    assert (found["fault"]["party"], found["fault"]["evidence"][-1]) == ("server", "Only search; the others answer.")


def test_the_timeline_has_the_restarts_of_the_application_and_of_nothing_else(told: Told) -> None:
    app, other = {"job": "shop", "instance": "app:9464"}, {"job": "node", "instance": "node:9100"}
    began = told.now - 120
    told.measure(("process_start_time_seconds", app, began), ("process_start_time_seconds", other, began))
    told.measure(("tachograph_build_info", app, 1.0))
    told.fire("LLMCallsGivenUp", {"provider": "openai", "model": "gpt-5"}, told.now - 60)
    events = [event["text"] for event in told.incident("LLMCallsGivenUp")["timeline"] if event["kind"] == "restart"]
    assert events == ["app:9464 started"]


def test_the_first_page_is_not_healthy_while_an_alert_fires_that_no_call_shows(told: Told) -> None:
    told.put(*(made(told.now - 400 + n) for n in range(20)))
    sentence = Views(told.console).now(told.now - 900, told.now)["sentence"]
    assert (sentence["level"], sentence["text"]) == ("good", "Healthy: 20 calls, none failed.")
    told.fire("LLMProviderHanging", {"provider": "openai", "model": "gpt-5"}, told.now - 60)
    told.fire("LLMCostBaselineTooShort", {"provider": "openai"}, told.now - 60)  # a note only
    sentence = Views(told.console).now(told.now - 900, told.now)["sentence"]
    assert (sentence["level"], sentence["alert"]) == ("bad", "LLMProviderHanging")
    assert sentence["text"].endswith(
        "calls begin and none ends since {since} (LLMProviderHanging); 20 calls, none failed."
    )


def test_requests_that_failed_show_where_a_retry_was_answered(told: Told) -> None:
    tries = [CallAttempt(1, 0.0, 0.2, 500, "error", "server_error"), CallAttempt(2, 0.5, 0.5, 200, "success")]
    told.put(*(made(told.now - 100 + n, attempts=2, tries=tries) for n in range(30)))
    told.fire("HighProviderErrorRate", {"provider": "openai", "error_type": "server_error"}, told.now - 60)
    found = told.incident("HighProviderErrorRate")
    assert (found["hits"]["hit"], found["hits"]["verb"]) == (30, "failed, or had a request that failed")
    assert found["groups"][0]["fingerprint"] == "server_error, and a retry was answered"
