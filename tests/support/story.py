"""Fifteen minutes of known traffic, sent to a console: three vendors, rate limits, tools on three servers."""

from __future__ import annotations

from typing import Any

from tachograph.console.ingest.registry import RegistryFeed
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.recorder import Recorder
from tachograph.records import Attempt, Cost, LLMCall, Usage

MODELS = (
    ("openai", "gpt-5", 1.4, 900, 120),
    ("openai", "gpt-5-mini", 0.6, 1400, 90),
    ("anthropic", "claude-sonnet-5", 2.1, 2600, 340),
    ("gemini", "gemini-2.5-flash", 0.4, 1100, 150),
)
TOOLS = (("time", "get_current_time", 0.012), ("git", "git_log", 0.08), ("workshop", "search_orders", 0.31))
STEP_SECONDS = 5
STEPS = 180


def tell(recorder: Recorder, console: Any, *, ends: float) -> None:
    """Record the traffic step by step, with a snapshot for the console at each step's time."""
    began = int(ends) - STEPS * STEP_SECONDS
    feed = RegistryFeed(console.store, recorder.metrics, job=console.job, instance="in-process")
    for server, _, _ in TOOLS:
        recorder.metrics.part(MCPMetrics).connection_opened(server)
    for step in range(STEPS):
        now = began + step * STEP_SECONDS
        for index, (provider, model, seconds, prompt, completion) in enumerate(MODELS):
            if (step + index) % 2 == 0:
                one_call(recorder, now, provider, model, seconds, prompt, completion, step)
        if step % 3 == 0:
            for server, tool, seconds in TOOLS:
                one_tool(recorder, now, server, tool, seconds * (1 + step % 5 / 10), failed=step % 30 == 0)
            recorder.metrics.part(MCPMetrics).registry_lookup("hit", 0.000004)
        recorder.settle()
        feed.feed(now * 1000)
    console.calls.flush()


def one_call(
    recorder: Recorder, now: float, provider: str, model: str, seconds: float, prompt: int, completion: int, step: int
) -> LLMCall:
    """One call; in the third quarter Anthropic answers 429 first, and every 40th step is a failure."""
    call = recorder.start_llm_call(
        provider, model, message_count=2, stream=step % 2 == 0, labels={"team": "search" if step % 3 else "support"}
    )
    call.started_unix_ns = int(now * 1e9)
    call.trace_id, call.span_id = int.from_bytes(call.id), int.from_bytes(call.id[8:])
    start = call.started_ns
    duration = int(seconds * (1 + (step % 7) / 10) * 1e9)
    if provider == "anthropic" and 90 <= step < 130:
        first = _attempt(call, 1, start, 40_000_000, 429)
        first.end("rate_limited", "rate_limit", ended_ns=start + 40_000_000)
        first.waited_ns = 600_000_000
        second = _attempt(call, 2, start + 640_000_000, duration, 200)
        second.end("success", ended_ns=start + 640_000_000 + duration)
        duration += 640_000_000
    elif step % 40 == 39:
        _attempt(call, 1, start, duration, 500).end("error", "server_error", ended_ns=start + duration)
        call.finish("error", "server_error", error=RuntimeError("the server had an error"), ended_ns=start + duration)
        return call
    else:
        _attempt(call, 1, start, duration, 200).end("success", ended_ns=start + duration)
    if call.stream:
        call.first_token_ns = start + duration // 4
    call.usage = Usage(prompt, completion, {"cache_read": prompt // 4})
    call.cost = Cost(prompt * 1250 + completion * 10_000, "priced", "story")
    call.response_model = f"{model}-2026"
    call.finish("success", ended_ns=start + duration)
    return call


def one_tool(recorder: Recorder, now: float, server: str, tool: str, seconds: float, *, failed: bool) -> None:
    """One tool execution."""
    call = recorder.start_tool_call(server, tool, argument_count=1)
    call.started_unix_ns = int(now * 1e9)
    ended = call.started_ns + int(seconds * 1e9)
    if failed:
        call.finish("error", "execution", error="no such order", ended_ns=ended)
    else:
        call.finish("success", ended_ns=ended)


def _attempt(call: LLMCall, number: int, started_ns: int, length_ns: int, status: int) -> Attempt:
    attempt = Attempt(number, started_ns)
    attempt.status = status
    call.attempts.append(attempt)
    return attempt
