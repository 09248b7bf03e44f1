"""Calls, traces and cost as the page asks for them, from records of this process."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.console_client import Client
from tachograph.console import RunningConsole, start
from tachograph.console.api import schema
from tachograph.recorder import Recorder
from tachograph.records import Cost, LLMCall, ToolCall, Usage
from tachograph.runtime import join

CALL_FIELDS = {
    "id", "trace_id", "span_id", "parent_span_id", "kind", "time", "provider", "model", "response_model", "operation",
    "server_id", "tool_name", "outcome", "error_type", "error_kind", "duration_seconds", "first_token_seconds",
    "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd", "cost_quality", "attempts",
    "wait_seconds", "stream", "labels", "service", "counted", "details", "tool_uses", "audio_seconds", "price_source",
    "api", "service_tier", "finish_reason", "response_id", "request_id", "parent_call_id", "execution_id", "run_id",
    "parent_run_id", "agent", "session_id", "user_id", "app_version", "retry_wait_seconds", "speed", "region",
    "traffic_type", "cost_detail", "list_cost_usd", "stated_cost_usd", "usage_mismatch",
    "api_key_hint",
}  # fmt: skip


def llm(
    recorder: Recorder, provider: str = "openai", model: str = "gpt-5", *, nano: int | None = 1_000_000, **labels: str
) -> LLMCall:
    call = recorder.start_llm_call(provider, model, labels=labels)
    call.begin_attempt().end("success", status=200)
    call.usage = Usage(100, 40, {"cache_read": 30, "reasoning": 10})
    call.cost = Cost(nano, "priced" if nano is not None else "unpriced")
    call.finish("success")
    return call


def tool(recorder: Recorder, name: str = "get_time", *, fails: bool = False) -> ToolCall:
    call = recorder.start_tool_call("time", name)
    if fails:
        call.finish("error", "execution", error="the secret text of an answer")
    else:
        call.finish("success")
    return call


@pytest.fixture
def ask(recorder: Recorder, running: RunningConsole, client: Client) -> Iterator[Callable[..., Any]]:
    """Asks once everything so far is written."""

    def get(path: str, **parameters: Any) -> Any:
        recorder.settle()
        assert running.console.calls.flush()
        return client.get(f"/api/console/{path}", **parameters)

    return get


def test_a_call_shows_up_with_all_its_facts(recorder: Recorder, ask: Callable[..., Any]) -> None:
    record = llm(recorder, team="search")
    answer = ask("calls")
    assert answer.keys() == {"calls", "next_cursor", "newest_cursor", "total_estimate", "kept_since"}
    call = answer["calls"][0]
    assert call.keys() == CALL_FIELDS
    facts = (
        "id",
        "provider",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cost_usd",
        "labels",
    )
    assert [call[name] for name in facts] == [record.id.hex(), "openai", 100, 30, 40, 10, "0.001", {"team": "search"}]


def test_a_call_opens_with_its_attempts_and_its_trace(recorder: Recorder, ask: Callable[..., Any]) -> None:
    record = recorder.start_llm_call("openai", "gpt-5")
    first = record.begin_attempt()
    first.retry_after_seconds = 0.5
    first.end("rate_limited", "rate_limit", status=429)
    first.waited_ns = 700_000_000
    record.begin_attempt().end("success", status=200)
    record.finish("success")
    shown = ask(f"calls/{record.id.hex()}")
    facts = ("number", "status", "outcome", "retry_after_seconds", "slept_seconds")
    assert [tuple(attempt[name] for name in facts) for attempt in shown["attempts"]] == [
        (1, 429, "rate_limited", 0.5, 0.7),
        (2, 200, "success", None, 0.0),
    ]
    assert shown["wait_seconds"] == 0.7
    trace = ask(f"traces/{shown['trace_id']}")
    assert trace["calls"] == [record.id.hex()]
    span = trace["spans"][0]
    assert (span["name"], span["status"]) == ("llm.complete", "ok")
    assert [event["name"] for event in span["events"]] == ["llm.attempt", "llm.rate_limit_wait", "llm.attempt"]


def test_calls_made_inside_one_another_share_a_trace(recorder: Recorder, ask: Callable[..., Any]) -> None:
    outer = recorder.start_llm_call("openai", "gpt-5")
    inner = recorder.start_tool_call("time", "get_time")
    inner.parent_id = outer.id
    inner.finish("success")
    outer.finish("success")
    trace = ask(f"traces/{outer.id.hex()}")
    assert {s["name"]: s["parent_span_id"] for s in trace["spans"]} == {
        "llm.complete": "", "mcp.tool.execute": outer.id.hex()[16:],
    }  # fmt: skip


def test_what_a_tool_answered_is_not_kept(recorder: Recorder, ask: Callable[..., Any]) -> None:
    record = tool(recorder, fails=True)
    assert "secret" not in json.dumps(ask(f"calls/{record.id.hex()}"))
    assert "secret" not in json.dumps(ask(f"traces/{record.id.hex()}"))


def test_every_filter_narrows(recorder: Recorder, ask: Callable[..., Any]) -> None:
    llm(recorder, "openai", "gpt-5", nano=5_000_000, team="a")
    llm(recorder, "anthropic", "claude-x", nano=None, team="b")
    tool(recorder)
    tool(recorder, "other", fails=True)
    for parameters, count in (
        ({}, 4), ({"kind": "llm"}, 2), ({"kind": "tool"}, 2), ({"provider": "openai"}, 1),
        ({"provider": "openai,anthropic"}, 2), ({"model": "claude-x"}, 1), ({"server": "time"}, 2),
        ({"tool": "other"}, 1), ({"outcome": "error"}, 1), ({"label": "team:a"}, 1), ({"label": "team:c"}, 0),
        ({"min_cost": 0.001}, 1), ({"max_cost": 0.001}, 0), ({"min_duration": 10}, 0), ({"max_duration": 10}, 4),
        ({"q": "CLAUDE"}, 1), ({"q": "team:b"}, 1), ({"q": "("}, 0), ({"from": time.time() + 60}, 0),
        ({"to": time.time() + 60, "from": time.time() - 60}, 4), ({"kind": "llm", "tool": "other"}, 0),
    ):  # fmt: skip
        answer = ask("calls", **parameters)
        assert (len(answer["calls"]), answer["total_estimate"]) == (count, count), parameters


def test_an_id_finds_its_call(recorder: Recorder, ask: Callable[..., Any]) -> None:
    record = llm(recorder)
    llm(recorder)
    assert [c["id"] for c in ask("calls", q=record.id.hex())["calls"]] == [record.id.hex()]


def test_pages_follow_one_another_without_gap_or_overlap(recorder: Recorder, ask: Callable[..., Any]) -> None:
    made = [llm(recorder).id.hex() for _ in range(25)]
    seen, cursor = [], None
    while True:
        answer = ask("calls", limit=7, **({"cursor": cursor} if cursor else {}))
        seen += [c["id"] for c in answer["calls"]]
        llm(recorder, "later")
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_after_gives_only_what_is_new(recorder: Recorder, ask: Callable[..., Any]) -> None:
    llm(recorder)
    newest = ask("calls")["newest_cursor"]
    assert ask("calls", after=newest)["calls"] == []
    record = llm(recorder)
    assert [c["id"] for c in ask("calls", after=newest)["calls"]] == [record.id.hex()]


def test_the_live_tail_brings_calls_that_match(running: RunningConsole, recorder: Recorder) -> None:
    connection = http.client.HTTPConnection(f"127.0.0.1:{running.port}", timeout=60)
    headers = {"Authorization": f"Bearer {running.token}"}
    connection.request("GET", "/api/console/calls/stream?provider=openai", headers=headers)
    stream = connection.getresponse()
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.readline() == b": here\n"
    llm(recorder, "anthropic")
    record = llm(recorder)
    lines = []
    while not lines or not lines[-1].startswith(b"data:"):
        lines.append(stream.readline())
    assert json.loads(lines[-1].removeprefix(b"data: "))["id"] == record.id.hex()
    connection.close()


def test_events_tick_when_there_is_something_new(running: RunningConsole, recorder: Recorder) -> None:
    connection = http.client.HTTPConnection(f"127.0.0.1:{running.port}", timeout=60)
    connection.request("GET", "/api/console/events", headers={"Authorization": f"Bearer {running.token}"})
    stream = connection.getresponse()

    def tick() -> dict[str, Any]:
        while True:
            line = stream.readline()
            if line.startswith(b"data: "):
                return dict(json.loads(line.removeprefix(b"data: ")))

    before = tick()
    llm(recorder)
    running.console.calls.flush()
    while tick()["calls"] <= before["calls"]:
        pass
    connection.close()


def test_cost_is_summed_exactly_by_every_key(recorder: Recorder, ask: Callable[..., Any]) -> None:
    for i in range(30):
        llm(recorder, "openai", f"m{i % 3}", nano=333_333_333, team="ab"[i % 2])
    llm(recorder, "anthropic", "claude-x", nano=None)
    total = Decimal("0.333333333") * 30
    for by, groups in (
        ("provider", {"openai": total, "anthropic": Decimal(0)}),
        ("model", {"m0": total / 3, "m1": total / 3, "m2": total / 3, "claude-x": Decimal(0)}),
        ("label:team", {"a": total / 2, "b": total / 2, "": Decimal(0)}),
    ):
        answer = ask("money", by=by)["spent"]
        assert {g["key"]: Decimal(g["cost_usd"]) for g in answer["groups"]} == groups
        assert Decimal(answer["total_usd"]) == total
        assert answer["unpriced_share"] == pytest.approx(1 / 31)
    group = answer["groups"][0]
    assert group.keys() == {
        "key", "provider", "cost_usd", "calls", "input_tokens", "output_tokens", "unpriced_calls", "unreported_calls",
        "series",
    }  # fmt: skip
    assert sum(usd for _, usd in group["series"]) == pytest.approx(float(group["cost_usd"]))
    assert answer["forecast"]["day_usd"] is None  # too early to say
    assert Decimal(answer["forecast"]["month_spent_usd"]) == total
    assert len(ask("money", by="day")["spent"]["groups"]) >= 1


def test_failed_calls_that_used_nothing_are_not_unpriced(recorder: Recorder, ask: Callable[..., Any]) -> None:
    record = recorder.start_llm_call("openai", "gpt-5")
    record.finish("error", "server_error")
    assert ask("money")["spent"]["groups"][0]["unpriced_calls"] == 0


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("money?by=nonsense", "provider, model"), ("money?by=label:", "label:KEY"), ("money?from=x", "a number"),
        ("money?from=5&to=4", "the earlier"), ("calls?from=5&to=4", "the earlier"), ("calls?to=-1", "the earlier"),
        ("calls?from=inf", "the earlier"), ("calls?cursor=abc", "earlier answer"), ("calls?label=x", "key:value"),
        ("calls?limit=y", "1 to 1000"), ("calls?limit=0", "1 to 1000"), ("calls?limit=2.5", "1 to 1000"),
        ("calls?limit=1001", "1 to 1000"), ("calls?order=up", "desc, asc"), ("calls?sort=name", "time, duration"),
        ("explore?what=traces", "runs, sessions, errors"), ("explore?from=9&to=1", "the earlier"),
        ("board/tachograph-llm-provider?source=ledger", "calls, metrics"), ("compare?version_a=1", "both"),
        ("compare?a_from=1", "both"), ("money?by=week", "provider, model"), ("now?from=9&to=1", "the earlier"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_used_is_named_with_what_can(shared: Client, asked: str, allowed: str) -> None:
    answer = shared.request("GET", f"/api/console/{asked}")
    assert answer.status == 400
    assert answer.json["error"]["where"].startswith("parameter")
    assert allowed in answer.json["error"]["do"]


def test_status_catalogue_and_runbooks_have_what_the_page_needs(client: Client) -> None:
    status = client.get("/api/console/status")
    assert status.keys() >= {
        "version", "started", "source", "prometheus_url", "now", "retention_seconds", "step_seconds", "series",
        "targets", "ledger", "auth",
    }  # fmt: skip
    boards = client.get("/api/console/catalogue")["dashboards"]
    assert [board["title"] for board in boards] == ["LLM Provider", "MCP Tools"]
    found = msgspec.convert(boards, list[schema.Board])  # every field of the catalogue, each in its own type
    assert {panel.id for board in found for row in board.rows for panel in row.panels} >= {"error-rate-by-type"}
    rules = client.get("/api/console/alerts")["alerts"]
    kept = {rule.name: rule.keepFiringFor for rule in msgspec.convert(rules, list[schema.AlertRule])}
    assert any(kept.values())
    book = client.get("/api/console/runbooks/HighProviderErrorRate")
    assert book["title"] == "HighProviderErrorRate"
    assert "## Mitigation" in book["markdown"]


def test_metrics_of_the_process_answer_the_dashboards(
    running: RunningConsole, recorder: Recorder, client: Client
) -> None:
    now = int(time.time() * 1000)
    for i in range(12):
        llm(recorder)
        running.console.tick(now - 60_000 + i * 5000)
    answer = client.get("/api/v1/query", query="sum(rate(llm_provider_request_seconds_count[1m]))", time=now / 1000)
    assert float(answer["data"]["result"][0]["value"][1]) == pytest.approx(0.2, rel=0.2)
    assert client.get("/api/v1/query", query="up", time=now / 1000)["data"]["result"][0]["value"][1] == "1"


def test_exemplars_are_answered_in_prometheus_shape(
    running: RunningConsole, recorder: Recorder, client: Client
) -> None:
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt()
    call.trace_id, call.span_id = 0xABC, 0xD
    call.finish("success")
    running.console.tick()
    query = "histogram_quantile(0.95, sum by (le) (rate(llm_provider_request_seconds_bucket[1m])))"
    (series,) = client.get("/api/v1/query_exemplars", query=query)["data"]
    assert series["seriesLabels"]["__name__"] == "llm_provider_request_seconds_bucket"
    (exemplar,) = series["exemplars"]
    assert exemplar.keys() == {"labels", "value", "timestamp"}
    assert exemplar["labels"] == {"trace_id": f"{0xABC:032x}"}
    assert exemplar["timestamp"] == pytest.approx(time.time(), abs=60)
    assert client.get("/api/v1/query_exemplars", query=query, end=1000)["data"] == []


def test_a_restart_loses_no_call(tmp_path: Path, recorder: Recorder) -> None:
    with start(port=0, recorder=recorder, step_seconds=300, data_dir=tmp_path) as served:
        made = [llm(recorder).id.hex() for _ in range(500)]
        assert served.console.calls.dropped == 0
    with start(port=0, step_seconds=300, data_dir=tmp_path) as served:
        client = Client(served.url, served.token)
        answer = client.get("/api/console/calls", limit=1000)
        assert [c["id"] for c in answer["calls"]] == made[::-1]
        assert client.get("/api/console/money")["spent"]["groups"][0]["calls"] == 500
        newest = answer["newest_cursor"]
        assert client.get("/api/console/calls", after=newest)["calls"] == []


def test_calls_of_a_ledger_are_shown_once(tmp_path: Path) -> None:
    from tachograph.settings.ledger import LedgerSettings
    from tachograph.signals.registry import Metrics
    from tachograph.usage.ledger import Ledger

    settings = LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}", data_dir=str(tmp_path))
    metrics = Metrics(())
    ledger = Ledger(settings, metrics)
    recorder = join(metrics, ledger=ledger, strict=True)
    record, failed = llm(recorder, team="search"), tool(recorder, fails=True)
    assert ledger.flush()
    with start(port=0, recorder=recorder, step_seconds=0.2, ledger=settings) as served:
        client = Client(served.url, served.token)
        llm(recorder)
        assert ledger.flush()
        deadline = time.monotonic() + 60
        while served.console.calls.count < 3 and time.monotonic() < deadline:
            served.console.calls.flush()
        feed = served.console.ledger
        assert feed is not None
        feed.look()
        answer = client.get("/api/console/calls")
        assert answer["total_estimate"] == 3
        shown = {c["id"]: c for c in answer["calls"]}
        assert shown[record.id.hex()]["cost_usd"] == "0.001"
        assert shown[record.id.hex()]["labels"] == {"team": "search"}
        assert shown[failed.id.hex()]["error_kind"] == "execution"
        assert client.get("/api/console/status")["ledger"]["url"].startswith("sqlite:///")
    ledger.close()


def test_a_console_has_the_writer_store_rows_that_would_gather_for_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.ledgers import eventually, make_recorder, one_call
    from tachograph.console import console
    from tachograph.usage import writer

    monkeypatch.setattr(console, "_STORED_SECONDS", 0.05)
    monkeypatch.setattr(writer, "_ASKED_SECONDS", 0.01)
    recorder = make_recorder(tmp_path, interval_seconds=60)
    one_call(recorder, 0)
    assert recorder.ledger is not None
    assert recorder.ledger.flush(20)  # the writer now rests for a minute
    one_call(recorder, 1)
    with start(port=0, step_seconds=0.05, ledger=recorder.ledger.settings) as served:
        eventually(lambda: served.console.calls.count == 2, "the console has both")
    recorder.ledger.close()


def test_what_a_ledger_spent_before_is_part_of_the_cost(tmp_path: Path) -> None:
    from tachograph.settings.ledger import LedgerSettings
    from tachograph.signals.registry import Metrics
    from tachograph.usage.ledger import Ledger

    settings = LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}", data_dir=str(tmp_path))
    metrics = Metrics(())
    ledger = Ledger(settings, metrics)
    recorder = join(metrics, ledger=ledger, strict=True)
    now = time.time()
    for days_ago in (0, 1, 2, 3, 10):
        call = recorder.start_llm_call("openai", "gpt-5", labels={"team": "search"})
        call.started_unix_ns = int((now - days_ago * 86_400 - 10) * 1e9)
        call.usage, call.cost = Usage(10, 5), Cost(1_000_000_000, "priced")
        call.finish("success")
    assert ledger.flush()
    ledger.close()
    for _ in range(2):  # the second time, what is there already is not added again
        with start(port=0, step_seconds=300, ledger=settings, data_dir=tmp_path / "console") as served:
            feed = served.console.ledger
            assert feed is not None
            feed.look()
            assert feed.last_error == ""
            client = Client(served.url, served.token)
            asked = {"from": now - 30 * 86_400, "to": now + 60, "by": "label:team"}
            cost = client.get("/api/console/money", **asked)["spent"]
            assert [(g["key"], g["cost_usd"], g["calls"]) for g in cost["groups"]] == [("search", "5", 5)]
