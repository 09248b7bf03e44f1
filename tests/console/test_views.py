"""The console's answers out of calls: true from the first call on, exact, and the same however a call came."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from support.console_client import Client
from support.console_rules import groups_from
from tachograph.console import RunningConsole, start
from tachograph.console.calls import Call, CallAttempt, CallDetail, Span, fingerprint
from tachograph.console.columns import Filter
from tachograph.console.console import Console
from tachograph.console.promql.labels import labels_of
from tachograph.console.store import CallStore
from tachograph.console.views.money import budgets
from tachograph.recorder import Recorder
from tachograph.records import Cost, LLMCall, Usage
from tachograph.settings import Settings
from tachograph.settings.budgets import BudgetLimit, BudgetsSettings

NOW = time.time()


@pytest.fixture(autouse=True)
def _of_this_test() -> None:
    """The moment of each test, and not of the import: a whole run takes minutes."""
    global NOW
    NOW = time.time()


def made(number: int, *, at: float, **facts: Any) -> CallDetail:
    """One LLM call; a tool execution where a server is named."""
    identity = f"{number:032x}"
    error = facts.pop("error", None)
    attempts = facts.pop("tries", [])
    facts = {"kind": "llm", "provider": "openai", "model": "gpt-5", "outcome": "success", "trace_id": identity,
             "span_id": identity[16:], "duration_seconds": 1.0, "attempts": 1, **facts}  # fmt: skip
    return CallDetail(Call(id=identity, time=at, **facts), attempts, error)


def put(client: RunningConsole, *calls: CallDetail) -> None:
    client.console.calls.add_all([(call, None) for call in calls], wait=True)


def one(recorder: Recorder, seconds: float, *, nano: int = 1_000_000) -> LLMCall:
    call = recorder.start_llm_call("openai", "gpt-5")
    attempt = call.begin_attempt()
    attempt.started_ns = call.started_ns  # a busy machine may take a while from one line to the next
    attempt.status = 200
    call.usage = Usage(100, 20, {"cache_read": 40})
    call.cost = Cost(nano, "priced", "test")
    call.finish("success", ended_ns=call.started_ns + int(seconds * 1e9))
    return call


def test_three_calls_of_a_script_show_true_numbers_at_once(
    recorder: Recorder, running: RunningConsole, client: Client
) -> None:
    for seconds in (0.5, 1.0, 3.0):
        one(recorder, seconds)
    recorder.settle()
    running.console.calls.flush()
    tiles = {tile["name"]: tile for tile in client.get("/api/console/now")["tiles"]}
    assert tiles["success"]["value"] == 1.0
    assert tiles["p95"]["value"] == pytest.approx(3.0)
    assert tiles["p95"]["enough"] is False
    # 0.003 dollars in a life of at most a minute so far, not in 15 empty minutes
    assert tiles["cost"]["value"] == pytest.approx(0.003 * 60, rel=0.1)
    panels = client.get("/api/console/board/tachograph-llm-provider")["panels"]
    [latency] = panels["request-latency-p95-by-model"][0]
    assert latency["metric"] == {"provider": "openai", "model": "gpt-5"}
    assert max(value for _, value, _ in latency["values"]) == pytest.approx(3.0)
    assert panels["money-spent-in-range"][0][0]["value"][1] == pytest.approx(0.003)


def test_quantiles_are_exact_and_not_bucket_bounds(running: RunningConsole, client: Client) -> None:
    put(running, *(made(i, at=NOW - 60, duration_seconds=0.01 * i) for i in range(1, 101)))
    [row] = client.get("/api/console/now")["providers"]["rows"]
    assert row["p95"] == pytest.approx(0.95)
    assert row["p50"] == pytest.approx(0.5)


def test_a_senders_calls_fill_the_board_without_any_metrics(running: RunningConsole, client: Client) -> None:
    put(running, made(1, at=NOW - 30, input_tokens=600, output_tokens=60))
    board = client.get("/api/console/board/tachograph-llm-provider", **{"from": NOW - 300, "to": NOW})
    assert board["source"] == "calls"
    series = {one["metric"]["type"]: one["n"] for one in board["panels"]["token-usage-rate"][0]}
    assert series == {"prompt": 1, "completion": 1}
    assert "active-connections" not in board["panels"]  # only metrics know those


def test_retries_are_requests_of_the_board_and_one_call_of_the_page(running: RunningConsole, client: Client) -> None:
    tries = [
        CallAttempt(1, 0.0, 0.1, 429, "rate_limited", "rate_limit", slept_seconds=1),
        CallAttempt(2, 1.1, 0.5, 200, "success"),
    ]
    put(running, made(1, at=NOW - 30, attempts=2, tries=tries, wait_seconds=1.0))
    board = client.get("/api/console/board/tachograph-llm-provider", **{"from": NOW - 300, "to": NOW})
    assert [s["metric"]["error_type"] for s in board["panels"]["error-rate-by-type"][0]] == ["rate_limit"]
    assert len(board["panels"]["rate-limit-events"][0][0]["values"]) == 1
    now = client.get("/api/console/now")
    assert now["providers"]["rows"][0]["calls"] == 1
    assert now["providers"]["rows"][0]["failed"] == 0
    assert now["providers"]["rows"][0]["wait"] == 1.0


def test_the_sentence_names_who_what_since_when_and_whom_it_spares(running: RunningConsole, client: Client) -> None:
    bad = {"outcome": "error", "error_type": "auth", "error": "AuthenticationError: Incorrect API key sk-123"}
    put(
        running,
        *(made(i, at=NOW - 600, provider="anthropic", model="claude") for i in range(20)),
        *(made(100 + i, at=NOW - 300 + i, model=("gpt-5", "gpt-5-mini")[i % 2], **bad) for i in range(148)),
    )
    sentence = client.get("/api/console/now")["sentence"]
    assert sentence["text"] == "OpenAI rejects the key since {since}: 148 calls failed, all models; others healthy."
    assert sentence["since"] == pytest.approx(NOW - 300)
    assert sentence["level"] == "bad"


def test_a_trouble_began_when_its_first_call_failed_however_short_the_range_is(
    running: RunningConsole, client: Client
) -> None:
    bad = {"outcome": "error", "error_type": "auth", "error": "Incorrect API key"}
    apart = made(1, at=NOW - 3000, **bad)  # the trouble before
    put(running, apart, *(made(10 + i, at=NOW - 2000 + 100 * i, **bad) for i in range(20)), made(5, at=NOW - 1990))
    sentence = client.get("/api/console/now", **{"from": NOW - 900, "to": NOW})["sentence"]
    assert sentence["since"] == pytest.approx(NOW - 2000)
    assert sentence["text"] == "OpenAI rejects the key since {since}: 9 calls failed in this range, gpt-5."


def test_a_trouble_that_ended_is_told_as_over(running: RunningConsole, client: Client) -> None:
    bad = {"outcome": "timeout", "error_type": "timeout"}
    put(running, *(made(i, at=NOW - 800 + i, **bad) for i in range(10)), *(made(50 + i, at=NOW - 30) for i in range(9)))
    sentence = client.get("/api/console/now")["sentence"]
    assert sentence["text"].startswith("OpenAI does not answer in time from {since} to {until}: 10 calls failed")
    assert sentence["level"] == "over"


def test_calls_that_went_well_and_no_calls_have_their_sentences(running: RunningConsole, client: Client) -> None:
    assert client.get("/api/console/now")["sentence"]["text"] == "No calls yet."
    put(running, made(1, at=NOW - 30))
    assert client.get("/api/console/now")["sentence"]["text"] == "Healthy: 1 call, none failed."


def test_two_accounts_of_a_call_become_one_with_its_parent() -> None:
    store = CallStore()
    first = made(1, at=NOW, cost_usd="0.25", cost_quality="priced", service="")
    sent = made(1, at=NOW, parent_span_id="00000000000000aa", service="shop", error="boom", agent="triage")
    store.add_all([(first, None), (sent, None)], wait=True)
    [(_, call)], count, _ = store.find(Filter(), 10)
    assert (count, call.parent_span_id, call.service, call.agent, call.cost_usd) == (
        1, "00000000000000aa", "shop", "triage", "0.25",
    )  # fmt: skip
    assert store.get(bytes.fromhex(call.id)).error == "boom"
    store.close()


def test_a_cost_that_comes_with_the_second_account_is_spent_once() -> None:
    store = CallStore()
    for cost in (None, "0.25", "0.25"):
        store.add_all([(made(1, at=NOW, cost_usd=cost, input_tokens=10), None)], wait=True)
    [row] = store.spending(NOW - 600, NOW + 600)
    assert (row[4], row[5], row[7], row[8]) == (1, 10, 250_000_000, 0)
    store.close()


def test_an_agents_trace_is_a_tree_whichever_account_came_first(running: RunningConsole, client: Client) -> None:
    trace = "ab" * 16
    agent = Span(trace_id=trace, span_id="0" * 15 + "1", name="agent.run", start_unix=NOW, duration_seconds=3)
    llm = made(7, at=NOW + 0.1, trace_id=trace, span_id="0" * 15 + "2")
    tool = made(8, at=NOW + 1.2, trace_id=trace, span_id="0" * 15 + "3", kind="tool", server_id="git", tool_name="log",
                provider="", model="")  # fmt: skip
    put(running, llm, tool)
    for call in (llm, tool):
        call.call.parent_span_id = agent.span_id
    running.console.calls.add_all([(llm, None), (tool, None), (None, agent)], wait=True)
    tree = client.get(f"/api/console/runs/{trace}")["tree"]
    assert [(row["name"], row["depth"]) for row in tree] == [("agent.run", 0), ("chat gpt-5", 1), ("git/log", 1)]


def test_calls_are_ordered_by_their_start_and_the_range_filters_them(running: RunningConsole, client: Client) -> None:
    put(running, made(1, at=NOW - 10), made(2, at=NOW - 5000), made(3, at=NOW - 1))
    listed = client.get("/api/console/calls")["calls"]
    assert [call["time"] for call in listed] == sorted((call["time"] for call in listed), reverse=True)
    near = client.get("/api/console/calls", **{"from": NOW - 60, "to": NOW})["calls"]
    assert len(near) == 2


def test_pages_of_calls_do_not_shift_while_calls_arrive(running: RunningConsole, client: Client) -> None:
    put(running, *(made(i, at=NOW - 100 + i) for i in range(10)))
    first = client.get("/api/console/calls", limit=4)
    put(running, made(99, at=NOW))
    second = client.get("/api/console/calls", limit=4, cursor=first["next_cursor"])
    ids = [call["id"] for call in (*first["calls"], *second["calls"])]
    assert ids == [f"{i:032x}" for i in (9, 8, 7, 6, 5, 4, 3, 2)]


def test_calls_are_found_by_what_their_error_said_and_sorted_by_what_they_cost(
    running: RunningConsole, client: Client
) -> None:
    put(
        running,
        made(
            1, at=NOW - 3, outcome="error", error_type="rate_limit", error="Rate limit reached: Limit 30000, Used 29000"
        ),
        made(2, at=NOW - 2, cost_usd="0.5"),
        made(3, at=NOW - 1, cost_usd="0.1"),
    )
    assert [c["id"][-1] for c in client.get("/api/console/calls", q="limit reached")["calls"]] == ["1"]
    by_cost = client.get("/api/console/calls", sort="cost")["calls"]
    assert [call["id"][-1] for call in by_cost][:2] == ["2", "3"]
    answer = client.request("GET", "/api/console/calls", parameters={"sort": "colour"})
    assert answer.status == 400
    assert "time, duration, cost" in answer.json["error"]["do"]


def test_facets_count_what_each_choice_would_leave(running: RunningConsole, client: Client) -> None:
    put(running, made(1, at=NOW - 3), made(2, at=NOW - 2, provider="gemini"), made(3, at=NOW - 1, outcome="error"))
    found = client.get("/api/console/explore", provider="openai")
    facets = {f["name"]: {v["value"]: v["calls"] for v in f["values"]} for f in found["facets"]}
    assert found["calls"] == 2
    assert facets["provider"] == {"openai": 2, "gemini": 1}
    assert facets["outcome"] == {"success": 1, "error": 1}


def test_errors_of_one_cause_are_one_group() -> None:
    call = made(1, at=NOW, error_type="rate_limit").call
    texts = ("Limit 30000, Used 29000 in org-a1", "Limit 30000, Used 100 in org-b2")
    assert fingerprint(call, texts[0]) == fingerprint(call, texts[1])
    assert fingerprint(call, texts[0]) != fingerprint(call, "the server had an error")
    body = "BadRequestError: Error code: 400 - {{'error': {{'message': \"{}\", 'type': 'invalid_request_error'}}}}"
    long, wrong = (body.format(text) for text in ("context length is 128000 tokens.", "Unsupported value: 'low'"))
    assert fingerprint(call, long) != fingerprint(call, wrong)  # all that differs is quoted
    assert "context length is … tokens." in fingerprint(call, long)


def test_a_comparison_says_what_is_significant(running: RunningConsole, client: Client) -> None:
    old = [made(i, at=NOW - 1200, app_version="1", duration_seconds=1 + i / 1000) for i in range(50)]
    new = [made(100 + i, at=NOW - 100, app_version="2", duration_seconds=2 + i / 1000) for i in range(50)]
    put(running, *old, *new)
    found = client.get("/api/console/compare", version_a="1", version_b="2", **{"from": NOW - 3600, "to": NOW})
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["Latency p95"]["significant"] is True
    assert rows["Success"]["significant"] is False
    assert found["a"]["calls"] == found["b"]["calls"] == 50


def test_a_comparison_tells_equal_costs_few_calls_and_a_longer_tail_apart(
    running: RunningConsole, client: Client
) -> None:
    tail = [1 + i / 1000 if i < 180 else 9 + i / 1000 for i in range(200)]
    old = [
        made(i, at=NOW - 1200, app_version="1", cost_usd="0.0024", duration_seconds=1 + i / 1000) for i in range(200)
    ]
    new = [
        made(500 + i, at=NOW - 100, app_version="2", cost_usd="0.0034", duration_seconds=tail[i]) for i in range(200)
    ]
    few = [made(900 + i, at=NOW - 90, app_version="3", cost_usd=f"0.02{i}", duration_seconds=5.0) for i in range(3)]
    put(running, *old, *new, *few)

    def significant(a: str, b: str) -> dict[str, tuple[bool, bool]]:
        span = {"from": NOW - 3600, "to": NOW}
        rows = client.get("/api/console/compare", version_a=a, version_b=b, **span)["rows"]
        return {row["name"]: (row["chance"] is not None, row["significant"]) for row in rows}

    found = significant("1", "2")
    assert found["Cost of a call"] == (True, True)  # each call of a side costs the same
    assert found["Latency p50"] == (True, False)
    assert found["Latency p95"] == (True, True)
    assert found["Success"] == (True, False)
    assert significant("1", "3")["Cost of a call"] == (False, False)


def test_a_comparison_and_the_first_page_have_the_same_share_of_successes(
    running: RunningConsole, client: Client
) -> None:
    outcomes = [*["success"] * 8, "error", "error", *["cancelled"] * 10]
    put(running, *(made(n, at=NOW - 60, outcome=outcome) for n, outcome in enumerate(outcomes)))
    span = {"from": NOW - 300, "to": NOW}
    rows = {row["name"]: row["b"] for row in client.get("/api/console/compare", **span)["rows"]}
    tiles = {tile["name"]: tile["value"] for tile in client.get("/api/console/now", **span)["tiles"]}
    assert rows["Success"] == tiles["success"] == 0.8
    assert rows["Cancelled"] == 0.5


def test_an_incident_says_whose_fault_it_is_and_by_which_evidence(running: RunningConsole, client: Client) -> None:
    bad = {"outcome": "error", "error_type": "auth", "error": "AuthenticationError: Incorrect API key"}
    put(running, *(made(i, at=NOW - 60 + i, **bad) for i in range(30)))
    found = client.get("/api/console/incidents/LLMProviderAuthFailure")
    assert found["fault"]["party"] == "us"
    assert found["fault"]["evidence"][0] == "30 of 30 failures are auth."
    assert found["groups"][0]["calls"] == 30
    told = [(event["kind"], event["at"]) for event in found["timeline"]]
    assert told[0] == ("first", pytest.approx(NOW - 60))  # by the calls, not by the steps of an evaluation
    assert found["queries"]
    assert all(query["error"] is None for query in found["queries"])
    assert client.request("GET", "/api/console/incidents/NoSuchAlert").status == 404


def test_an_alerts_summary_says_a_small_rate_as_people_read_it(running: RunningConsole, client: Client) -> None:
    text = "Provider openai error rate: {{ $value | humanize }}/sec"
    rule = {"group": "g", "alert": "High", "expr": "x > 0", "annotations": {"summary": text}}
    running.console.rules.groups[:] = groups_from([rule])
    now = int(time.time()) * 1000
    running.console.store.ingest("test", now, [(labels_of({"__name__": "x"}), 0.1244)])
    running.console.rules.evaluate(running.console.rules.groups[0], now)
    (alert,) = client.get("/api/v1/alerts")["data"]["alerts"]
    assert alert["annotations"]["summary"] == "Provider openai error rate: 124.4m/sec"  # as Prometheus has it
    (shown,) = client.get("/api/console/alerts")["alerts"][0]["alerts"]
    assert shown["annotations"]["summary"] == "Provider openai error rate: 0.124/sec"


def test_the_history_of_an_alert_has_the_moments_at_which_it_fired_and_resolved(
    running: RunningConsole, client: Client
) -> None:
    running.console.rules.groups[:] = groups_from([{"group": "g", "alert": "High", "expr": "x > 5", "for": "10s"}])
    now = int(time.time()) * 1000
    evaluated = [(now - 613_000, 9.0), (now - 601_000, 9.0), (now - 559_000, 9.0), (now - 513_000, 1.0)]
    for at, value in (*evaluated, (now - 43_000, 9.0), (now - 31_000, 9.0)):
        running.console.store.ingest("test", at, [(labels_of({"__name__": "x"}), value)])
        running.console.rules.evaluate(running.console.rules.groups[0], at)
    found = client.get("/api/console/incidents/High")
    present, past = found["history"]
    assert (present["from"], present["to"], present["exact"]) == (now / 1000 - 31, None, True)
    assert (past["from"], past["to"], past["exact"]) == (now / 1000 - 601, now / 1000 - 513, True)
    assert next(e["at"] for e in found["timeline"] if e["text"] == "Firing") == now / 1000 - 31
    running.console.rules.resolved.clear()
    assert client.get("/api/console/incidents/High")["history"][1]["exact"] is False  # of before a restart


def test_an_incident_about_cost_says_who_spends_and_why_and_blames_no_failing_call(
    running: RunningConsole, client: Client
) -> None:
    bad = {"outcome": "error", "error_type": "auth", "error": "AuthenticationError: Incorrect API key"}
    before = [made(i, at=NOW - 3000, cost_usd="0.01", input_tokens=100, output_tokens=10) for i in range(10)]
    spent = [made(50 + i, at=NOW - 60, cost_usd="0.50", input_tokens=100, output_tokens=10) for i in range(20)]
    put(running, *before, *spent, *(made(90 + i, at=NOW - 60, **bad) for i in range(30)))
    found = client.get("/api/console/incidents/LLMCostTotalHigh")
    assert (found["about"], found["fault"], found["groups"]) == ("cost", None, [])
    assert found["spent"]["usd"] == pytest.approx(10.0, rel=0.01)
    assert found["spent"]["by"]["model"][0]["key"] == "gpt-5"
    assert {part["part"] for part in found["spent"]["why"]} >= {"Volume", "Price and cache", "Change"}
    assert client.get("/api/console/incidents/LLMMonitorMetricsMissing")["about"] == "telemetry"
    assert client.get("/api/console/incidents/LLMProviderAuthFailure")["about"] == "calls"


def test_an_incident_says_since_when_its_condition_is_over_and_until_when_it_keeps_firing(
    running: RunningConsole, client: Client
) -> None:
    rule = {"group": "g", "alert": "High", "expr": "x > 5", "keep_firing_for": "15m"}
    running.console.rules.groups[:] = groups_from([rule])
    now = int(time.time()) * 1000
    for at, value in ((now - 60_000, 9.0), (now - 30_000, 1.0)):
        running.console.store.ingest("test", at, [(labels_of({"__name__": "x"}), value)])
        running.console.rules.evaluate(running.console.rules.groups[0], at)
    found = client.get("/api/console/incidents/High")
    assert found["active"][0]["state"] == "firing"
    assert found["rules"][0]["keepFiringFor"] == 900
    told = {event["kind"]: event["at"] for event in found["timeline"]}
    assert told["kept"] == pytest.approx(now / 1000 - 30)
    assert told["due"] == pytest.approx(now / 1000 - 30 + 900)


def test_an_alert_is_acknowledged_and_silenced_by_a_post(client: Client) -> None:
    path = "/api/console/alerts/LLMProviderAuthFailure/notes"
    body = json.dumps({"kind": "silence", "minutes": 30, "text": "key is being replaced"}).encode()
    assert client.post(path, body, "application/json").status == 200
    rule = next(r for r in client.get("/api/console/alerts")["alerts"] if r["name"] == "LLMProviderAuthFailure")
    assert rule["silenced_until"] == pytest.approx(time.time() + 1800, abs=60)
    assert client.post(path, b'{"kind": "delete"}', "application/json").status == 400
    assert client.post("/api/console/alerts/None/notes", body, "application/json").status == 400
    assert client.request("POST", path, body=body, login=False).status == 401


def test_money_counts_the_calls_of_the_range_as_every_other_view_does(running: RunningConsole, client: Client) -> None:
    end = NOW // 300 * 300 + 130  # a range that begins within one of the five-minute sums and ends within another
    ends = {"from": end - 300, "to": end}
    put(running, *(made(n, at=end - 10 - 60 * n, cost_usd="0.25", input_tokens=9, output_tokens=1) for n in range(10)))
    money, now = client.get("/api/console/money", **ends), client.get("/api/console/now", **ends)
    listed = client.get("/api/console/calls", **ends)
    assert money["calls"] == money["spent"]["calls"] == listed["total_estimate"] == now["providers"]["rows"][0]["calls"]
    assert (money["spent"]["calls"], money["spent"]["total_usd"], money["total_usd"]) == (5, "1.25", 1.25)
    assert (money["from"], money["from_sums"]) == (end - 300, False)
    [group] = money["spent"]["groups"]
    assert sum(usd for _, usd in group["series"]) == pytest.approx(1.25)
    assert len(group["series"]) == 5


def test_no_price_in_either_period_is_no_change_of_nothing(running: RunningConsole, client: Client) -> None:
    put(running, *(made(n, at=NOW - 60 - 600 * n, model="own", input_tokens=9) for n in range(3)))
    assert client.get("/api/console/money", **{"from": NOW - 600, "to": NOW})["why"] == []


def test_the_parts_of_a_change_of_cost_add_up_to_it(running: RunningConsole, client: Client) -> None:
    cheap = [made(i, at=NOW - 1200, cost_usd="0.01", input_tokens=100, output_tokens=10) for i in range(10)]
    dear = [made(50 + i, at=NOW - 100, model="gpt-5-pro", cost_usd="0.1", input_tokens=100, output_tokens=10)
            for i in range(20)]  # fmt: skip
    put(running, *cheap, *dear)
    found = client.get("/api/console/money", **{"from": NOW - 900, "to": NOW})
    parts = {row["part"]: row["usd"] for row in found["why"]}
    assert parts.pop("Change") == pytest.approx(1.9)
    assert sum(parts.values()) == pytest.approx(1.9)
    assert parts["Volume"] == pytest.approx(0.1)
    assert parts["Mix of models"] == pytest.approx(1.8)


def test_a_view_is_saved_under_a_name(client: Client) -> None:
    body = json.dumps({"name": "failures", "address": "#/explore?outcome=error"}).encode()
    assert client.post("/api/console/views", body, "application/json").status == 200
    assert client.get("/api/console/views") == {"views": [{"name": "failures", "address": "#/explore?outcome=error"}]}
    bad = json.dumps({"name": "x", "address": "https://elsewhere.example"}).encode()
    assert client.post("/api/console/views", bad, "application/json").status == 400


def test_the_arithmetic_of_a_cost_adds_up(running: RunningConsole, client: Client) -> None:
    put(running, made(1, at=NOW, input_tokens=1000, output_tokens=200, cached_tokens=400, cost_usd="0.0028",
                      cost_quality="priced"))  # fmt: skip
    lines = client.get(f"/api/console/calls/{1:032x}")["arithmetic"]
    assert {line["kind"] for line in lines} >= {"prompt", "prompt, read from cache", "completion"}
    assert sum(line["usd"] for line in lines) == pytest.approx(0.0028)


def test_scraped_metrics_that_count_more_than_is_kept_are_asked_instead(recorder: Recorder) -> None:
    with start(port=0, step_seconds=300, scrape=["http://127.0.0.1:1/metrics"]) as served:
        put(served, made(1, at=NOW))
        series = ("__name__", "llm_provider_request_seconds_count"), ("model", "gpt-5"), ("outcome", "success")
        for i in range(20):
            served.console.store.ingest("x", int((NOW - 100 + i * 5) * 1000), [(series, float(i * 10))])
        board = Client(served.url, served.token).get(
            "/api/console/board/tachograph-llm-provider", **{"from": NOW - 100, "to": NOW}
        )
    assert board["source"] == "metrics"
    assert "of them are kept here" in board["why"]


def test_a_retried_calls_requests_and_waits_stand_under_it_in_its_run(running: RunningConsole, client: Client) -> None:
    tries = [
        CallAttempt(1, 0.0, 0.1, 429, "rate_limited", "rate_limit", None, 0.5, 0.0),
        CallAttempt(2, 0.6, 0.4, 200, "success"),
    ]
    put(running, made(1, at=NOW, run_id="r1", agent="refunds", attempts=2, wait_seconds=0.5, tries=tries))
    rows = client.get("/api/console/runs/r1")["tree"]
    assert [(row["kind"], row["name"], row["depth"], row["failed"]) for row in rows] == [
        ("llm", "chat gpt-5", 0, False),
        ("attempt", "attempt 1 · 429", 1, True),
        ("wait", "waiting for the rate limit", 1, False),
        ("attempt", "attempt 2 · 200", 1, False),
    ]
    of_trace = client.get(f"/api/console/runs/{1:032x}")["tree"]  # asked for by its trace, the call is the same
    assert [row["kind"] for row in of_trace] == [row["kind"] for row in rows]


def test_a_run_whose_own_span_went_elsewhere_is_named_by_its_agent(running: RunningConsole, client: Client) -> None:
    facts = {"run_id": "r2", "agent": "refunds", "trace_id": "ab" * 16, "parent_span_id": "cd" * 8}
    put(running, *(made(n, at=NOW + n, span_id=f"{n:016x}", **facts) for n in (1, 2)))
    rows = client.get("/api/console/runs/r2")["tree"]
    assert (rows[0]["kind"], rows[0]["name"], rows[0]["missing"]) == ("agent", "run of refunds", True)
    below = made(3, at=NOW + 2, span_id=f"{3:016x}", duration_seconds=30.0, **{**facts, "parent_span_id": f"{2:016x}"})
    put(running, below)
    row = client.get("/api/console/runs/r2")["tree"][0]
    assert row["start"] + row["seconds"] == pytest.approx(NOW + 32)


def test_calls_that_end_after_their_run_are_said(running: RunningConsole, client: Client) -> None:
    facts = {"run_id": "r3", "agent": "faq", "trace_id": "ab" * 16, "parent_span_id": "cd" * 8}
    told = {"tachograph.run_id": "r3", "tachograph.run.calls": 1}
    span = Span(trace_id="ab" * 16, span_id="cd" * 8, name="invoke_agent faq", start_unix=NOW, duration_seconds=2.0,
                attributes=told)  # fmt: skip
    put(running, *(made(n, at=NOW + n, span_id=f"{n:016x}", **facts) for n in (1, 2)))
    running.console.calls.add_all([(None, span)], wait=True)
    found = client.get("/api/console/runs/r3")
    assert (found["llm_calls"], found["late"]) == (2, 1)


@pytest.mark.parametrize(
    ("limit", "name", "spent"),
    [
        (BudgetLimit(name="hour", usd=Decimal(1), period="hour"), "hour", 0.3),
        (BudgetLimit(name="rolling", usd=Decimal(1), period="90m"), "rolling", 0.7),
        (BudgetLimit(name="all", usd=Decimal(1), period="total"), "all", 0.7),
        (BudgetLimit(name="agent", usd=Decimal(1), period="90m", agent="refunds"), "agent", 0.4),
        (BudgetLimit(name="each", usd=Decimal(1), period="90m", per=("user",)), "each: ann", 0.5),
        (BudgetLimit(name="team", usd=Decimal(1), period="90m", per=("label:team",)), "team: search", 0.4),
    ],
)
def test_a_budget_counts_over_its_own_period_and_scope(limit: BudgetLimit, name: str, spent: float) -> None:
    half = datetime(2026, 11, 27, 12, 30, tzinfo=UTC).timestamp()
    settings = Settings(budgets=BudgetsSettings(limits=(limit,)))
    calls = (
        made(1, at=half - 60, cost_usd="0.1", agent="refunds", user_id="ann", labels={"team": "search"}),
        made(2, at=half - 120, cost_usd="0.2", user_id="bob"),
        made(3, at=half - 3000, cost_usd="0.3", agent="refunds", user_id="ann", labels={"team": "search"}),
        made(4, at=half - 3060, cost_usd="0.1", agent="x", user_id="ann"),
    )
    console = Console(settings=settings)
    try:
        console.calls.add_all([(call, None) for call in calls], wait=True)
        (found,) = budgets(console, half)
    finally:
        console.close()
    assert (found["name"], found["spent_usd"]) == (name, pytest.approx(spent))
    assert found["left_usd"] == pytest.approx(1 - spent)
    assert found["passed"] == (0.5 if limit.period == "hour" else None)


def test_a_cell_of_the_tools_says_how_many_of_its_calls_failed(running: RunningConsole, client: Client) -> None:
    tool = {"kind": "tool", "provider": "", "model": "", "server_id": "git", "tool_name": "log"}
    put(running, *(made(n, at=NOW - n, outcome="error" if n < 3 else "success", **tool) for n in range(1, 9)))
    panels = client.get("/api/console/board/tachograph-mcp-tools")["panels"]
    (cell,) = panels["tool-execution-latency-p95-by-server"][0]
    assert (cell["n"], cell["failed"]) == (8, 2)


def test_what_has_no_price_is_not_shown_as_free(running: RunningConsole, client: Client) -> None:
    facts = {"model": "own-model", "input_tokens": 10, "output_tokens": 5, "cost_usd": None}
    put(running, *(made(n, at=NOW - n, **facts) for n in range(1, 6)))
    answer = client.get("/api/console/now")
    tile = next(tile for tile in answer["tiles"] if tile["name"] == "cost")
    assert (tile["value"], tile["note"]) == (None, "5 calls without a price")
    assert answer["providers"]["rows"][0]["cost"] is None
    panels = client.get("/api/console/board/tachograph-llm-provider")["panels"]
    assert panels["estimated-cost-per-hour"] == [[]]
    put(running, made(9, at=NOW - 9, cost_usd="0.5", input_tokens=1, output_tokens=1))
    tile = next(tile for tile in client.get("/api/console/now")["tiles"] if tile["name"] == "cost")
    assert tile["value"] > 0
    assert tile["note"] == "5 calls without a price"


def test_a_run_and_a_session_without_any_price_are_not_shown_as_free(running: RunningConsole, client: Client) -> None:
    facts = {"session_id": "s", "run_id": "r", "input_tokens": 10, "output_tokens": 1}
    put(running, made(1, at=NOW - 30, **facts), made(2, at=NOW - 20, **facts | {"input_tokens": None}))
    for path in ("runs/r", "sessions/s"):
        found = client.get(f"/api/console/{path}")
        assert (found["cost"], found["unpriced"]) == (None, 2)
    [row] = client.get("/api/console/explore", what="sessions")["sessions"]
    assert (row["cost"], row["unpriced"]) == (None, 2)
    put(running, made(3, at=NOW - 10, cost_usd="0.5", **facts))
    assert client.get("/api/console/runs/r")["cost"] == 0.5
    [row] = client.get("/api/console/explore", what="runs")["runs"]
    assert (row["cost"], row["unpriced"]) == (0.5, 2)


@pytest.mark.parametrize(
    "used", [{"input_tokens": 10}, {"output_tokens": 1}, {"audio_seconds": 30.0}, {"tool_uses": {"web_search": 1}}]
)
def test_every_view_counts_what_was_used_without_a_price(
    running: RunningConsole, client: Client, used: dict[str, Any]
) -> None:
    run = {"session_id": "s", "run_id": "r", "agent": "desk"}
    again = {"outcome": "cancelled", "counted": False}  # a stored answer that is read again
    put(
        running,
        made(1, at=NOW - 30, **run, **used),
        made(2, at=NOW - 20, **run, **used),
        made(3, at=NOW - 10, **run, **again),
    )
    assert client.get("/api/console/runs/r")["unpriced"] == 2
    [row] = client.get("/api/console/explore", what="runs")["runs"]
    assert (row["cost"], row["unpriced"]) == (None, 2)
    tile = next(tile for tile in client.get("/api/console/now")["tiles"] if tile["name"] == "cost")
    assert (tile["value"], tile["note"]) == (None, "2 calls without a price")
    assert client.get("/api/console/money", **{"from": NOW - 900, "to": NOW})["unpriced_calls"] == 2
    unpriced, missing = client.get("/api/console/board/tachograph-llm-provider")["panels"]["unpriced-and-missing-usage"]
    assert max(float(value) for _, value in unpriced[0]["values"]) > 0
    assert {float(value) for _, value in missing[0]["values"]} == {0.0}


def test_no_user_spends_zero_on_what_has_no_price(running: RunningConsole, client: Client) -> None:
    facts = {"user_id": "ann", "labels": {"team": "search"}, "input_tokens": 10, "output_tokens": 1}
    put(running, made(1, at=NOW - 30, outcome="error", **facts), made(2, at=NOW - 20, **facts))
    money = client.get("/api/console/money", **{"from": NOW - 900, "to": NOW})
    assert money["who"]["user_id"] == [{"key": "ann", "usd": None, "calls": 2}]
    assert money["labels"] == [{"key": "team:search", "usd": None, "calls": 2}]
    assert money["waste"] == [{"cause": "failed", "usd": None, "calls": 1}]
    put(running, made(3, at=NOW - 10, cost_usd="0.5", **facts))
    money = client.get("/api/console/money", **{"from": NOW - 900, "to": NOW})
    assert [money["who"]["user_id"][0]["usd"], money["labels"][0]["usd"]] == [0.5, 0.5]


def test_where_nothing_is_scraped_no_target_is_missing() -> None:
    rule = {"group": "g", "alert": "Absent", "expr": 'absent(up{job="tachograph"})'}
    for targets, states in (((), []), (("http://127.0.0.1:1/metrics",), ["firing"])):
        console = Console(scrape=targets, rule_groups=groups_from([rule]))
        console.rules.evaluate(console.rules.groups[0], int(time.time() * 1000))
        assert [alert["state"] for alert in console.rules.alerts()] == states
        console.close()


@pytest.mark.parametrize("outcome", ["cancelled", "timeout"])
def test_the_cost_of_calls_that_never_reported_is_not_known(
    outcome: str, running: RunningConsole, client: Client
) -> None:
    late = {"outcome": outcome, "model": "late", "run_id": "late", "session_id": "late", "user_id": "late"}
    refused = {"outcome": "error", "model": "refused", "run_id": "refused", "session_id": "refused"}
    tool = {"kind": "tool", "provider": "", "model": "", "server_id": "s", "outcome": outcome, "run_id": "refused"}
    put(running, made(1, at=NOW, **late), made(2, at=NOW, **refused), made(3, at=NOW, **tool))
    rows = {row["model"]: row["cost"] for row in client.get("/api/console/now")["providers"]["rows"]}
    assert rows == {"late": None, "refused": 0.0}
    for what in ("runs", "sessions"):
        rows = {row["id"]: row["cost"] for row in client.get("/api/console/explore", what=what)[what]}
        assert rows == {"late": None, "refused": 0.0}
        found = client.get(f"/api/console/{what}/late")
        assert (found["cost"], found["unreported"]) == (None, 1)
        assert client.get(f"/api/console/{what}/refused")["cost"] == 0.0
    money = client.get("/api/console/money", **{"from": NOW - 900, "to": NOW + 1})
    assert {row["key"]: row["usd"] for row in money["who"]["user_id"]} == {"late": None, "": 0.0}
    assert {row["key"]: row["unreported_calls"] for row in money["spent"]["groups"]} == {"late": 1, "refused": 0}
    put(running, made(4, at=NOW, cost_usd="0.5", input_tokens=9, run_id="late"))
    assert client.get("/api/console/runs/late")["cost"] == 0.5


def test_the_unpriced_models_are_the_largest_and_a_count(running: RunningConsole, client: Client) -> None:
    facts = {"input_tokens": 10, "output_tokens": 5, "cost_usd": None}
    put(running, *(made(n, at=NOW - n / 10, model=f"m{n}", **facts) for n in range(1, 40)))
    money = client.get("/api/console/money")
    assert (len(money["unpriced"]), money["unpriced_models"], money["unpriced_calls"]) == (12, 39, 39)


def test_no_question_of_the_page_reads_a_whole_table(running: RunningConsole, client: Client) -> None:
    put(
        running,
        *(made(n, at=NOW - n / 10, outcome="error", error_type="timeout", error="gone", session_id="s", run_id=f"r{n}")
          for n in range(1, 400)),
    )  # fmt: skip
    store = running.console.calls
    asked: set[str] = set()
    store._db.set_trace_callback(asked.add)
    for path, parameters in (
        ("now", {}), ("money", {}), ("board/tachograph-llm-provider", {}), ("calls", {"q": "gone"}),
        ("calls", {"sort": "cost"}), ("explore", {}), ("explore", {"what": "errors"}), ("explore", {"what": "runs"}),
        ("explore", {"what": "sessions"}), ("compare", {}), ("runs/r1", {}), ("sessions/s", {}), ("status", {}),
        ("incidents/LLMProviderDown", {}), (f"calls/{1:032x}", {}), (f"traces/{1:032x}", {}),
    ):  # fmt: skip
        client.get(f"/api/console/{path}", **parameters)
    store._db.set_trace_callback(None)
    assert any("calls_text MATCH" in sql for sql in asked)
    for sql in asked:
        if sql.startswith("SELECT"):
            for row in store._db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall():
                assert not re.match(r"SCAN (calls|spans|spending)\b(?!.*USING)", row[3]), (sql, row[3])
