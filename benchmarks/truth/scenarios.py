"""The scenarios: what the simulators answer, what the application does, and what must be known afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tachograph_demo.simulators import (
    Answer,
    Exchange,
    Hang,
    InvalidKey,
    Item,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServedUsage,
    StreamError,
    ToolCall,
)
from tachograph_demo.simulators.prices import cost_nano_usd


@dataclass(frozen=True)
class About:
    """A measured time: right within these bounds, in seconds."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f}"


@dataclass(frozen=True)
class Scenario:
    """One thing that happens, and what is true of it.

    Attributes:
        name: Unique.
        group: For the table.
        title: What happens, for readers.
        action, arguments: A method of `clients.Application`.
        answers: What the simulators answer, by vendor.
        truth: Expected answers by question; a callable makes one from what was served.
        twice: The peer is switched on twice.
        reads_again: One answer is read several times.
    """

    name: str
    group: str
    title: str
    action: str
    truth: dict[str, Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Sequence[Item]] = field(default_factory=dict)
    twice: bool = False
    reads_again: bool = False

    @property
    def vendor(self) -> str:
        """Whose client."""
        return self.action.partition("_")[0].replace("responses", "openai")


USAGE = ServedUsage(prompt=120, completion=30)
FIRST_CONTENT = 0.6
"""Seconds that streams take to their first content, after their framing events."""
MODELS = {"openai": "gpt-5", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}


def dollars(vendor: str, model: str, usage: ServedUsage) -> float:
    """The cost by genai-prices."""
    nano = cost_nano_usd(vendor, model, usage)
    assert nano is not None, (vendor, model)
    return nano / 1e9


def _told(vendor: str, usage: ServedUsage, model: str = "") -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "cost_usd": dollars(vendor, model or MODELS[vendor], usage),
    }


def _batch_dollars(vendor: str, model: str, usage: ServedUsage) -> float:
    from genai_prices import Usage, calc_price

    price = calc_price(
        Usage(input_tokens=usage.prompt, output_tokens=usage.completion),
        model,
        provider_id=vendor,
        price_context={"processing": "batch"},
    )
    return float(Decimal(price.total_price))


def _waited(slept: float) -> Callable[[list[Exchange]], About]:
    """At least what the client sleeps, at most what the simulators saw pass between its requests."""

    def bounds(served: list[Exchange]) -> About:
        return About(slept - 0.02, sum(exchange.gap_seconds or 0.0 for exchange in served) + 0.02)

    return bounds


def _first_content(served: list[Exchange]) -> About:
    """Not before the simulator sent any content."""
    return About(FIRST_CONTENT - 0.02, FIRST_CONTENT + 1.0 + sum((e.ended or e.started) - e.started for e in served))


def _plain() -> list[Scenario]:
    actions = {
        "openai_chat": "openai",
        "openai_raw": "openai",
        "openai_responses": "openai",
        "anthropic_messages": "anthropic",
        "gemini_content": "gemini",
    }
    plain = [
        Scenario(
            f"plain {action}",
            "plain",
            f"one call: {action.replace('_', ', ')}",
            action,
            {"calls": 1, "outcome": "success", **_told(vendor, USAGE)},
            answers={vendor: [Answer(usage=USAGE)]},
        )
        for action, vendor in actions.items()
    ]
    embedded = ServedUsage(prompt=50)
    return [
        *plain,
        Scenario(
            "embeddings",
            "plain",
            "embeddings",
            "openai_embeddings",
            {"calls": 1, "input_tokens": 50, "cost_usd": dollars("openai", "text-embedding-3-small", embedded)},
            answers={"openai": [Answer(usage=embedded)]},
        ),
        Scenario(
            "twenty tasks",
            "plain",
            "twenty calls at once, asynchronous",
            "openai_twenty_tasks",
            {"calls": 20, "input_tokens": 2400, "output_tokens": 600},
            answers={"openai": [Answer(usage=USAGE, delay_seconds=0.05)] * 20},
        ),
    ]


def _retries() -> list[Scenario]:
    limited = [RateLimited(retry_after=0.4), RateLimited(retry_after=0.3)]
    return [
        Scenario(
            f"hidden retries {vendor}",
            "hidden retries",
            f"two 429s that {vendor}'s client waits out",
            action,
            {
                "calls": 1,
                "requests": 3,
                "rate_limited": 2,
                "wait_seconds": _waited(slept),
                "outcome": "success",
                **_told(vendor, USAGE),
            },
            answers={vendor: [*limited, Answer(usage=USAGE)]},
        )
        for vendor, action, slept in (
            ("openai", "openai_chat", 0.7),
            ("anthropic", "anthropic_messages", 0.7),
            ("gemini", "gemini_with_retries", 0.6),
        )
    ]


def _tokens() -> list[Scenario]:
    """Every part of tokens that each vendor reports; which parts are in which total differs on the wire."""
    cases: list[tuple[str, str, str, str, ServedUsage]] = [
        ("cached", "openai", "openai_chat", "gpt-5", ServedUsage(prompt=2000, completion=40, cache_read=1536)),
        (
            "cache read and written",
            "anthropic",
            "anthropic_messages",
            "claude-haiku-4-5",
            ServedUsage(prompt=3000, completion=40, cache_read=1500, cache_write_5m=800, cache_write_1h=200),
        ),
        (
            "cached",
            "gemini",
            "gemini_content",
            "gemini-2.5-flash",
            ServedUsage(prompt=2000, completion=40, cache_read=1500),
        ),
        ("reasoning", "openai", "openai_responses", "gpt-5", ServedUsage(prompt=100, completion=500, reasoning=420)),
        (
            "reasoning",
            "anthropic",
            "anthropic_messages",
            "claude-haiku-4-5",
            ServedUsage(prompt=100, completion=500, reasoning=420),
        ),
        (
            "reasoning",
            "gemini",
            "gemini_content",
            "gemini-2.5-flash",
            ServedUsage(prompt=100, completion=500, reasoning=420),
        ),
        (
            "audio",
            "openai",
            "openai_chat",
            "gpt-4o-audio-preview",
            ServedUsage(prompt=300, completion=200, audio_input=250, audio_output=150),
        ),
        (
            "audio",
            "gemini",
            "gemini_content",
            "gemini-2.5-flash",
            ServedUsage(prompt=300, completion=50, audio_input=250),
        ),
    ]
    parts = ("cache_read", "cache_write", "reasoning", "audio_input", "audio_output")
    made = [
        Scenario(
            f"{what} tokens {vendor}",
            "token parts",
            f"{vendor}: {what} tokens",
            action,
            {**_told(vendor, usage, model), **{part: getattr(usage, part) for part in parts if getattr(usage, part)}},
            arguments={"model": model},
            answers={vendor: [Answer(usage=usage)]},
        )
        for what, vendor, action, model, usage in cases
    ]
    tool_prompt = ServedUsage(prompt=180, completion=30, tool_prompt=60)
    searched = ServedUsage(prompt=120, completion=30, web_searches=3)
    return [
        *made,
        Scenario(
            "tool-use tokens gemini",
            "token parts",
            "gemini: tokens that server-side tools put in",
            "gemini_content",
            {"input_tokens": 180, "tool_prompt": 60, "output_tokens": 30},
            answers={"gemini": [Answer(usage=tool_prompt)]},
        ),
        Scenario(
            "web searches anthropic",
            "token parts",
            "anthropic: three web searches, billed beside tokens",
            "anthropic_messages",
            {"cost_usd": dollars("anthropic", MODELS["anthropic"], searched)},
            answers={"anthropic": [Answer(usage=searched)]},
        ),
    ]


def _streams() -> list[Scenario]:
    slow = Answer(usage=USAGE, first_token_seconds=FIRST_CONTENT, pieces=6)
    told = {"calls": 1, "outcome": "success", "first_token_seconds": _first_content}
    ordinary = [
        Scenario(f"stream {action}", "streams", title, action, {**told, **_told(vendor, USAGE)}, more, {vendor: [slow]})
        for action, vendor, title, more in (
            ("openai_stream", "openai", "openai chat stream that asks for usage", {}),
            ("responses_stream", "openai", "openai responses stream", {}),
            ("anthropic_stream", "anthropic", "anthropic stream", {}),
            ("anthropic_helper", "anthropic", "anthropic's stream helper", {}),
            ("gemini_stream", "gemini", "gemini stream", {}),
        )
    ]
    long = Answer(usage=USAGE, text="one two three four five six seven eight", pieces=8)
    gone = {"calls": 1, "errors": 0, "outcome": "cancelled"}
    cut = {"calls": 1, "errors": 1, "outcome": "error"}
    return [
        *ordinary,
        Scenario(
            "stream without asking for usage",
            "streams",
            "openai chat stream whose application does not ask for usage",
            "openai_stream",
            {"calls": 1, "quality": "priced", **_told("openai", USAGE)},
            {"usage": False},
            {"openai": [Answer(usage=USAGE, text="one two three four", pieces=4)]},
        ),
        *(
            Scenario(f"closed early {vendor}", "streams", f"{vendor}: closed early", action, gone, {}, {vendor: [long]})
            for vendor, action in (
                ("openai", "openai_closed_early"),
                ("anthropic", "anthropic_closed_early"),
                ("gemini", "gemini_closed_early"),
            )
        ),
        Scenario(
            "abandoned", "streams", "openai: left before its end", "openai_abandoned", gone, {}, {"openai": [long]}
        ),
        Scenario("never read", "streams", "openai: never read", "openai_never_read", gone, {}, {"openai": [long]}),
        *(
            Scenario(
                f"cut short {action}",
                "streams",
                f"{title}: ends without its last event, and nothing raises",
                action,
                cut,
                {},
                {vendor: [Answer(usage=USAGE, ending="eof", cut_after=2)]},
            )
            for vendor, action, title in (
                ("openai", "openai_stream", "openai"),
                ("anthropic", "anthropic_stream", "anthropic"),
                ("gemini", "gemini_stream", "gemini"),
            )
        ),
        Scenario(
            "error within the stream, openai",
            "streams",
            "openai responses: the last event says failed, and nothing raises",
            "responses_stream",
            cut,
            {},
            {"openai": [Answer(usage=USAGE, ending=StreamError(shape="response.failed"))]},
        ),
        Scenario(
            "error within the stream, anthropic",
            "streams",
            "anthropic: overloaded within the stream (status 200)",
            "anthropic_stream",
            {**cut, "error_type": "server_error"},
            {},
            {"anthropic": [Answer(usage=USAGE, ending=StreamError(kind="overloaded"))]},
        ),
    ]


def _later() -> list[Scenario]:
    batch = ServedUsage(prompt=5000, completion=800)
    return [
        Scenario(
            "background",
            "fetched later",
            "openai background response, read twice",
            "openai_background",
            _told("openai", USAGE),
            answers={"openai": [Answer(usage=USAGE)]},
            reads_again=True,
        ),
        Scenario(
            "batch openai",
            "fetched later",
            "openai batch, looked at twice",
            "openai_batch",
            {
                "input_tokens": 5000,
                "output_tokens": 800,
                "cost_usd": _batch_dollars("openai", "gpt-5-mini", batch),
            },
            answers={"openai": [Answer(usage=batch), Answer(usage=batch)]},
            reads_again=True,
        ),
        Scenario(
            "batch anthropic",
            "fetched later",
            "results of an anthropic batch, two messages, read twice",
            "anthropic_batch",
            {
                "input_tokens": 10_000,
                "output_tokens": 1600,
                "cost_usd": 2 * _batch_dollars("anthropic", "claude-haiku-4-5", batch),
            },
            answers={"anthropic": [Answer(usage=batch), Answer(usage=batch)]},
            reads_again=True,
        ),
        Scenario(
            "automatic function calling",
            "fetched later",
            "gemini calls a function by itself: two requests in one call",
            "gemini_functions",
            {"calls": 1, "requests": 2, **_told("gemini", ServedUsage(prompt=120, completion=15))},
            answers={
                "gemini": [
                    Answer(
                        tool_calls=[ToolCall("weather", {"city": "Bergen"})],
                        usage=ServedUsage(prompt=100, completion=10),
                    ),
                    Answer(text="rain", usage=ServedUsage(prompt=20, completion=5)),
                ]
            },
        ),
    ]


def _money() -> list[Scenario]:
    tiers = [
        Scenario(
            f"tier {tier}",
            "money",
            f"openai, served on the {tier} tier",
            "openai_chat",
            {"cost_usd": dollars("openai", "gpt-5", ServedUsage(prompt=9000, completion=700, service_tier=tier))},
            {"service_tier": tier},
            {"openai": [Answer(usage=ServedUsage(prompt=9000, completion=700, service_tier=tier))]},
        )
        for tier in ("flex", "priority")
    ]
    return [
        *tiers,
        Scenario(
            "unknown model",
            "money",
            "a model without a price: its cost is not 0 dollars",
            "openai_chat",
            {"input_tokens": 120, "unpriced": "1 unpriced"},
            {"model": "my-own-model-7"},
            {"openai": [Answer(usage=USAGE)]},
        ),
        Scenario(
            "compatible host",
            "money",
            "DeepSeek asked through OpenAI's client",
            "openai_elsewhere",
            {"provider": "deepseek", "calls": 1, "cost_usd": _deepseek(USAGE)},
            answers={"openai": [Answer(usage=USAGE)]},
        ),
    ]


def _deepseek(usage: ServedUsage) -> float:
    from genai_prices import Usage, calc_price

    asked = Usage(input_tokens=usage.prompt, output_tokens=usage.completion)
    return float(calc_price(asked, "deepseek-chat", provider_id="deepseek").total_price)


def _failures() -> list[Scenario]:
    return [
        Scenario(
            "cancelled",
            "failures",
            "the application's own deadline cancels the call: not an error of the provider",
            "openai_cancelled",
            {"calls": 1, "errors": 0, "outcome": "cancelled"},
            answers={"openai": [Hang()]},
        ),
        Scenario(
            "timeout",
            "failures",
            "the client's timeout",
            "openai_timeout",
            {"calls": 1, "errors": 1, "outcome": "timeout"},
            answers={"openai": [Hang()]},
        ),
        Scenario(
            "wrong key",
            "failures",
            "a wrong key: 401",
            "openai_once",
            {"calls": 1, "errors": 1, "outcome": "error", "error_type": "auth"},
            answers={"openai": [InvalidKey()]},
        ),
        Scenario(
            "wrong key gemini",
            "failures",
            "gemini: a wrong key, which it reports as 400",
            "gemini_content",
            {"calls": 1, "errors": 1, "outcome": "error", "error_type": "auth"},
            answers={"gemini": [InvalidKey()]},
        ),
        Scenario(
            "spent quota",
            "failures",
            "a 429 that no waiting cures: the quota is spent",
            "openai_once",
            {"calls": 1, "errors": 1, "outcome": "error", "error_type": "quota"},
            answers={"openai": [QuotaExhausted()]},
        ),
        Scenario(
            "overloaded",
            "failures",
            "gemini is overloaded",
            "gemini_content",
            {"calls": 1, "errors": 1, "outcome": "error", "error_type": "server_error"},
            answers={"gemini": [Overloaded()]},
        ),
        Scenario(
            "dead provider",
            "failures",
            "no server; the client tries twice",
            "openai_refused",
            {"calls": 1, "requests": 2, "outcome": "error", "error_type": "connection"},
        ),
    ]


def _tools() -> list[Scenario]:
    refused = {"tool_calls": 1, "tool_errors": 1, "outcome": "error"}
    return [
        Scenario("tool", "tools", "a tool call", "tool", {"tool_calls": 1, "tool_errors": 0, "outcome": "success"}),
        Scenario("tool isError", "tools", "a tool that fails (isError)", "tool", refused, {"name": "refuse"}),
        Scenario("tool arguments", "tools", "arguments that do not fit", "tool", refused, {"arguments": {"left": "x"}}),
        Scenario("tool unknown", "tools", "a tool that is not there", "tool", refused, {"name": "none"}),
        Scenario(
            "tool timeout",
            "tools",
            "a tool that never answers",
            "tool_over_stdio",
            {"tool_calls": 1, "tool_errors": 1, "outcome": "timeout"},
            {"name": "hang", "timeout": 0.4},
        ),
        Scenario(
            "dead server", "tools", "a server that exits during the call", "tool_over_stdio", refused, {"name": "crash"}
        ),
    ]


def _twice() -> list[Scenario]:
    return [
        Scenario(
            "switched on twice",
            "double",
            "switched on by two parts of the application",
            "openai_chat",
            {"calls": 1, **_told("openai", USAGE)},
            answers={"openai": [Answer(usage=USAGE)]},
            twice=True,
        )
    ]


def scenarios() -> list[Scenario]:
    """All of them, in order; the last one changes the process for good."""
    from benchmarks.truth import elsewhere, reported

    makers: tuple[Callable[[], list[Scenario]], ...] = (
        *(_plain, _retries, _tokens, _streams, _later, _money, _failures, _tools),
        *(reported.dialects, reported.money, reported.names, reported.aborted, reported.wire),
        *(reported.endings, reported.tools),
        *(elsewhere.clouds, elsewhere.others, elsewhere.spread, elsewhere.media),
        _twice,
    )
    return [scenario for make in makers for scenario in make()]
