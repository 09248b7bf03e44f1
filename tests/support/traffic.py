"""Calls for tests of the signals, made straight on the recorder, with every number known."""

from __future__ import annotations

from tachograph.recorder import Recorder
from tachograph.records import Cost, LLMCall, ToolCall, Usage


def llm_call(
    recorder: Recorder,
    provider: str = "openai",
    model: str = "gpt-5",
    *,
    seconds: float = 0.3,
    prompt: int = 100,
    completion: int = 20,
    nano_usd: int | None = 1_250_000,
    **labels: str,
) -> LLMCall:
    """One call that succeeds at the first attempt."""
    call = recorder.start_llm_call(provider, model, message_count=2, labels=labels or None)
    attempt = call.begin_attempt()
    attempt.started_ns = call.started_ns
    end = call.started_ns + int(seconds * 1e9)
    attempt.end("success", status=200, ended_ns=end)
    call.usage = Usage(prompt, completion)
    call.cost = Cost(nano_usd, "priced" if nano_usd is not None else "unpriced")
    call.finish("success", ended_ns=end)
    return call


def retried_call(recorder: Recorder, provider: str = "openai", model: str = "gpt-5") -> LLMCall:
    """One call that meets two 429s, waits 0.3 s after each, and succeeds: three attempts of 0.2 s."""
    call = recorder.start_llm_call(provider, model, message_count=1)
    at = call.started_ns
    for outcome, error_type, status in (
        ("rate_limited", "rate_limit", 429),
        ("rate_limited", "rate_limit", 429),
        ("success", None, 200),
    ):
        attempt = call.begin_attempt()
        attempt.started_ns = at
        at += 200_000_000
        attempt.end(outcome, error_type, status=status, ended_ns=at)  # type: ignore[arg-type]
        if outcome == "rate_limited":
            attempt.waited_ns = 300_000_000
            at += 300_000_000
    call.usage = Usage(10, 5)
    call.cost = Cost(500, "priced")
    call.finish("success", ended_ns=at)
    return call


def tool_call(
    recorder: Recorder, server_id: str = "time", tool_name: str = "get_time", *, seconds: float = 0.02
) -> ToolCall:
    """One tool call that succeeds."""
    call = recorder.start_tool_call(server_id, tool_name, argument_count=1)
    call.finish("success", ended_ns=call.started_ns + int(seconds * 1e9))
    return call
