"""Calls of other senders become rows, metrics and costs; what a sender does not say is unknown."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from collect.conftest import OPENAI, USED, Collected, event, logs, span, traces
from support.parts import npm_package, program
from support.simulators import simulators, simulators_process  # noqa: F401
from tachograph.usage.row import Row
from tachograph_demo.simulators import RateLimited

SENDER = Path(__file__).parents[1] / "support" / "otlp_sender.cjs"
FACTS = (
    "kind", "provider", "model", "operation", "outcome", "input_tokens", "output_tokens", "details", "agent",
    "session_id", "user_id",
)  # fmt: skip


def facts(row: Row, *more: str) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in (*FACTS, *more)}
    return {name: value for name, value in found.items() if value is not None}


CALL = {"kind": "llm", "provider": "openai", "model": "gpt-5", "operation": "chat", "outcome": "success"}
TOKENS = {"input_tokens": 1000, "output_tokens": 100}
SPANS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "OpenTelemetry's": (
        OPENAI | USED | {"gen_ai.conversation.id": "c1", "gen_ai.usage.cache_read.input_tokens": 400},
        CALL | TOKENS | {"details": {"cache_read": 400}, "session_id": "c1"},
    ),
    "OpenTelemetry's, without usage": (OPENAI, CALL),
    "OpenLLMetry's": (
        {
            "gen_ai.system": "OpenAI", "llm.request.type": "chat", "gen_ai.request.model": "gpt-5",
            "gen_ai.usage.prompt_tokens": 1000, "gen_ai.usage.completion_tokens": 100,
            "gen_ai.usage.cache_read_input_tokens": 400, "traceloop.association.properties.user_id": "ann",
        },
        CALL | TOKENS | {"details": {"cache_read": 400}, "user_id": "ann"},
    ),
    "OpenInference's": (
        {
            "openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-5",
            "llm.token_count.prompt": 1000, "llm.token_count.completion": 100, "session.id": "s1",
            "llm.token_count.prompt_details.cache_read": 400,
            "llm.token_count.completion_details.reasoning": 50,
        },
        CALL | TOKENS | {"details": {"cache_read": 400, "reasoning": 50}, "session_id": "s1"},
    ),
    "LiteLLM's": (
        {
            "gen_ai.system": "azure", "gen_ai.request.model": "gpt-5", "llm.is_streaming": "False",
            "gen_ai.usage.prompt_tokens": 1000, "gen_ai.usage.completion_tokens": 100,
        },
        CALL | TOKENS | {"provider": "azure"},
    ),
    "Vercel's AI SDK": (
        {
            "ai.operationId": "ai.streamText.doStream", "ai.model.provider": "openai.responses", "ai.model.id": "gpt-5",
            "gen_ai.system": "openai.responses", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 100, "ai.usage.cachedInputTokens": 400,
            "ai.telemetry.metadata.userId": "ann", "ai.telemetry.metadata.sessionId": "s1",
        },
        CALL | TOKENS | {"details": {"cache_read": 400}, "user_id": "ann", "session_id": "s1"},
    ),
    "Vercel's AI SDK, embeddings": (
        {
            "ai.operationId": "ai.embed.doEmbed", "ai.model.provider": "google.generative-ai", "ai.usage.tokens": 7,
            "ai.model.id": "gemini-embedding-001",
        },
        CALL | {
            "provider": "gemini", "model": "gemini-embedding-001", "operation": "embeddings", "input_tokens": 7,
        },
    ),
    "one that counts as Anthropic does": (
        {
            "gen_ai.provider.name": "anthropic", "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 900,
        },
        CALL | {
            "provider": "anthropic", "model": "claude-sonnet-4-5", "input_tokens": 910, "output_tokens": 100,
            "details": {"cache_read": 900},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("sender", SPANS)
def test_a_span_of_each_convention_becomes_a_row(collected: Collected, sender: str) -> None:
    found, wanted = SPANS[sender]
    assert collected.send(traces(span(found))).status == 200
    (row,) = collected.rows()
    assert facts(row) == wanted
    assert row.labels == {"service": "shop"}
    assert (row.latency_us, row.attempts, row.ttft_us) == (2_000_000, 1, None)


def test_a_stream_of_vercel_s_says_when_its_first_chunk_came(collected: Collected) -> None:
    found = SPANS["Vercel's AI SDK"][0] | {"ai.response.msToFirstChunk": 250.0}
    assert collected.send(traces(span(found))).status == 200
    (row,) = collected.rows()
    assert (row.stream, row.ttft_us) == (True, 250_000)


def test_a_cost_is_an_estimate_where_the_sender_leaves_out_what_it_depends_on(collected: Collected) -> None:
    said = {"gen_ai.usage.cache_read.input_tokens": 0}
    collected.send(traces(span(OPENAI | USED, number=1), span(OPENAI | USED | said, number=2), span(OPENAI, number=3)))
    found = {row.span_id: row for row in collected.rows()}
    first, second, third = (found[number.to_bytes(8, "big")] for number in (1, 2, 3))
    assert (first.cost_quality, first.cost_detail) == ("estimated", "the sender does not say: cached tokens")
    assert (second.cost_quality, second.cost_detail) == ("priced", None)
    assert first.cost_nusd == second.cost_nusd == 1000 * 1250 + 100 * 10_000
    assert (third.input_tokens, third.cost_nusd, third.cost_quality) == (None, None, None)
    assert collected.metric('llm_calls_usage_missing_total{provider="openai",model="gpt-5"}') == 1


CLAUDE = {
    "session.id": "s1", "user.account_uuid": "ann", "prompt.id": "p1", "model": "claude-sonnet-4-5",
    "duration_ms": 1500,
}  # fmt: skip
CODEX = {"conversation.id": "s1", "user.account_id": "ann", "model": "gpt-5", "app.version": "0.154"}
GEMINI = {"session.id": "s1", "installation.id": "ann", "model": "gemini-2.5-pro", "duration_ms": 1500}
WHOSE = {"session_id": "s1", "user_id": "ann"}
EVENTS: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "claude_code.api_request": (
        "claude-code",
        CLAUDE | {"event.name": "api_request", "input_tokens": "10", "output_tokens": "100",
                  "cache_read_tokens": "900", "cache_creation_tokens": "90", "cost_usd": "0.5"},
        CALL | WHOSE | {
            "provider": "anthropic", "model": "claude-sonnet-4-5", "agent": "claude-code", "input_tokens": 1000,
            "output_tokens": 100, "details": {"cache_read": 900, "cache_write": 90},
        },
    ),
    "claude_code.api_error": (
        "claude-code",
        CLAUDE | {"event.name": "api_error", "error": "Overloaded", "status_code": "529"},
        CALL | WHOSE | {
            "provider": "anthropic", "model": "claude-sonnet-4-5", "agent": "claude-code", "outcome": "error",
        },
    ),
    "claude_code.tool_result": (
        "claude-code",
        CLAUDE | {"event.name": "tool_result", "tool_name": "mcp__git__git_log", "success": "true"},
        WHOSE | {"kind": "mcp", "provider": "git", "model": "git_log", "operation": "execute_tool",
                 "outcome": "success", "agent": "claude-code"},
    ),
    "claude_code.user_prompt": ("claude-code", CLAUDE | {"event.name": "user_prompt", "prompt": "hi"}, None),
    "codex.sse_event": (
        "codex_cli_rs",
        CODEX | {"event.name": "codex.sse_event", "event.kind": "response.completed", "input_token_count": 1000,
                 "output_token_count": 100, "cached_token_count": 400, "reasoning_token_count": 50,
                 "tool_token_count": 1100},
        CALL | WHOSE | TOKENS | {"agent": "codex", "details": {"cache_read": 400, "reasoning": 50}},
    ),
    "codex.sse_event of a piece": (
        "codex_cli_rs", CODEX | {"event.name": "codex.sse_event", "event.kind": "response.output_text.delta"}, None,
    ),
    "codex.api_request": (
        "codex_cli_rs",
        CODEX | {"event.name": "codex.api_request", "http.response.status_code": 429, "error.message": "slow down"},
        CALL | WHOSE | {"agent": "codex", "outcome": "rate_limited"},
    ),
    "codex.api_request that went well": (
        "codex_cli_rs", CODEX | {"event.name": "codex.api_request", "http.response.status_code": 200}, None,
    ),
    "codex.tool_result": (
        "codex_cli_rs",
        CODEX | {"event.name": "codex.tool_result", "tool_name": "shell", "success": "false"},
        WHOSE | {"kind": "mcp", "provider": "codex", "model": "shell", "operation": "execute_tool",
                 "outcome": "error", "agent": "codex"},
    ),
    "gemini_cli.api_response": (
        "gemini-cli",
        GEMINI | {"event.name": "gemini_cli.api_response", "input_token_count": 900, "output_token_count": 60,
                  "cached_content_token_count": 400, "thoughts_token_count": 40, "tool_token_count": 100},
        CALL | WHOSE | TOKENS | {
            "provider": "gemini", "model": "gemini-2.5-pro", "operation": "generate_content", "agent": "gemini-cli",
            "details": {"cache_read": 400, "reasoning": 40},
        },
    ),
    "gen_ai.client.inference.operation.details": (
        "gemini-cli", {"event.name": "gen_ai.client.inference.operation.details"} | OPENAI | USED, None,
    ),
    "gemini_cli.tool_call": (
        "gemini-cli",
        GEMINI | {"event.name": "gemini_cli.tool_call", "function_name": "read_file", "success": True},
        WHOSE | {"kind": "mcp", "provider": "gemini-cli", "model": "read_file", "operation": "execute_tool",
                 "outcome": "success", "agent": "gemini-cli"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_of_a_coding_agent_becomes_a_row(collected: Collected, name: str) -> None:
    service, found, wanted = EVENTS[name]
    place = {"eventName": "event otel/src/events/session_telemetry.rs:1187"} if service == "codex_cli_rs" else {}
    body = logs(event(name.split(" ")[0], found, **place), service=service)
    for _ in range(2):  # the same event sent again is the same call
        assert (answer := collected.send(body, "/v1/logs")).status == 200, answer.body
    rows = collected.rows()
    assert [facts(row) for row in rows] == ([] if wanted is None else [wanted])
    for row in rows:
        assert row.latency_us == (1_500_000 if "duration_ms" in found else 0)
        if row.kind == "llm" and row.outcome == "success":
            assert row.cost_nusd
            assert row.price_source != "stated"


def test_the_agent_s_own_estimate_stands_in_where_there_is_no_price(collected: Collected) -> None:
    found = CLAUDE | {"model": "claude-of-tomorrow", "input_tokens": 10, "output_tokens": 10, "cost_usd": 0.5}
    collected.send(logs(event("claude_code.api_request", found), service="claude-code"), "/v1/logs")
    (row,) = collected.rows()
    assert (row.cost_nusd, row.cost_quality, row.price_source) == (
        500_000_000, "estimated", "estimated by claude-code",
    )  # fmt: skip


def test_spans_of_an_agent_that_sends_events_are_not_counted_a_second_time(collected: Collected) -> None:
    collected.send(traces(span(OPENAI | USED), service="gemini-cli"))
    assert collected.rows() == []
    assert collected.metric('tachograph_otlp_received_total{signal="traces",result="no_call"}') == 1


def test_operations_that_are_no_calls_are_not_recorded(collected: Collected) -> None:
    spans = [
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-5"},
        {"openinference.span.kind": "CHAIN", "llm.model_name": "gpt-5"},
        {"traceloop.span.kind": "workflow", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5"},
        {"http.request.method": "GET"},
    ]
    bodies = [span(found, number=number) for number, found in enumerate(spans, 1)]
    bodies.append(span(OPENAI, number=9, name="raw_gen_ai_request"))
    collected.send(traces(*bodies))
    assert collected.rows() == []
    assert collected.metric('tachograph_otlp_received_total{signal="traces",result="no_call"}') == 5


def test_foreign_calls_stand_in_the_metrics_that_rules_and_alerts_read(collected: Collected) -> None:
    failed = {"status": {"code": 2, "message": "Error code: 429"}}
    collected.send(
        traces(
            span(OPENAI | USED),
            span(OPENAI | {"error.type": "RateLimitError"}, number=2, **failed),
            span({"mcp.method.name": "tools/call", "gen_ai.tool.name": "log", "mcp.server.name": "git"}, number=3),
        )
    )
    labels = 'provider="openai",model="gpt-5"'
    assert collected.metric(f'llm_provider_tokens_total{{{labels},type="prompt"}}') == 1000
    assert collected.metric(f"llm_provider_cost_usd_total{{{labels}}}") == pytest.approx(0.00225)
    assert collected.metric(f'llm_provider_errors_total{{{labels},error_type="rate_limit"}}') == 1
    assert collected.metric(f'llm_call_seconds_count{{{labels},outcome="success"}}') == 1
    assert collected.metric('mcp_tool_execute_seconds_count{server_id="git",tool_name="log",outcome="success"}') == 1


def test_budgets_count_what_foreign_calls_cost(tmp_path: Path) -> None:
    from tachograph.collect import start
    from tachograph.settings import load

    limits = [{"name": "all", "usd": 1.0, "period": "day"}]
    settings = load({"ledger": {"data_dir": str(tmp_path)}, "budgets": {"limits": limits}}, environ={}, read_file=False)
    with start(settings, port=0) as running:
        collected = Collected(running)
        collected.send(traces(span(OPENAI | USED)))
        assert collected.metric('llm_budget_spent_usd{budget="all",period="day"}') == pytest.approx(0.00225)


@pytest.mark.parametrize("instrumentation", ["opentelemetry", "traceloop"])
def test_a_node_application_is_recorded_as_it_was_served(
    collected: Collected,
    simulators: Any,  # noqa: F811 - the fixture
    instrumentation: str,
) -> None:
    npm_package(f"@{instrumentation}/instrumentation-openai")
    modules = npm_package("openai").parent
    simulators.openai.always(RateLimited(), when=lambda request: request.model == "gpt-5-nano")
    which = "otel" if instrumentation == "opentelemetry" else instrumentation
    done = subprocess.run(
        [program("node"), str(SENDER), which, simulators.openai.url],
        env={**os.environ, "NODE_PATH": str(modules), "OTEL_EXPORTER_OTLP_ENDPOINT": collected.running.url},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row.model: row for row in collected.rows()}
    served = simulators.served.totals()
    answer = rows["gpt-5"]
    usage = served["openai", "gpt-5"].usage
    assert (answer.input_tokens, answer.output_tokens) == (usage.prompt, usage.completion)
    assert answer.cost_nusd == served["openai", "gpt-5"].nano_usd
    assert (answer.labels, answer.app_version) == ({"service": f"node-{which}"}, "1.2")
    stream = rows["gpt-5-mini"]
    if which == "otel":
        usage = served["openai", "gpt-5-mini"].usage
        assert (stream.input_tokens, stream.output_tokens) == (usage.prompt, usage.completion)
        assert (rows["gpt-5-nano"].outcome, rows["gpt-5-nano"].error_type) == ("rate_limited", "rate_limit")
    else:  # this instrumentation reports no tokens of streams, and no calls that fail
        assert (stream.input_tokens, stream.cost_nusd, "gpt-5-nano" in rows) == (None, None, False)
