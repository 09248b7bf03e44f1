"""Scenarios of clouds and of other vendors' APIs, of reports spread over a stream, and of what is not billed by tokens.

Expected costs are written out as arithmetic: tokens times dollars for a million, seconds, images.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.truth.reported import _PLAIN, _READ, _at, _chat, _json, _message, _piece, _stream
from benchmarks.truth.scenarios import Scenario
from tachograph_demo.simulators import Item, Raw

_CLAUDE = "claude-opus-4-5-20251101"
_TOLD = {"inputTokens": 194, "outputTokens": 2, "totalTokens": 196}
_SAID = {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}


def clouds() -> list[Scenario]:
    """One model at several clouds, each at its own price."""
    output = {"message": {"role": "assistant", "content": [{"text": "hi"}]}}
    converse = _json({"output": output, "stopReason": "end_turn", "usage": _TOLD, "metrics": {"latencyMs": 9}})
    usage = {"input_tokens": 194, "output_tokens": 2}
    vertex = [
        Scenario(
            f"Vertex {where}",
            "clouds",
            f"anthropic's client for Vertex AI, {title}",
            "anthropic_on_vertex",
            {"calls": 1, **_READ, "cost_usd": cost},
            {"region": where, "model": "claude-opus-4-5@20251101"},
            {"anthropic": [_message(_CLAUDE, usage)]},
        )
        for where, title, cost in (
            ("global", "everywhere", (194 * 5 + 2 * 25) / 1e6),
            ("europe-west1", "in a region: a tenth more", (194 * 5.5 + 2 * 27.5) / 1e6),
        )
    ]
    bedrock = [
        Scenario(
            f"Bedrock {prefix}",
            "clouds",
            f"Bedrock's Converse by HTTP, model `{prefix}.anthropic...`",
            "wire_chat",
            {"calls": 1, **_READ, "cost_usd": cost},
            {
                "url": f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{prefix}.anthropic.{_CLAUDE}-v1:0/converse",
                "model": "",
            },
            {"openai": [converse]},
        )
        for prefix, cost in (("global", (194 * 5 + 2 * 25) / 1e6), ("us", (194 * 5.5 + 2 * 27.5) / 1e6))
    ]
    return [*vertex, *bedrock]


def others() -> list[Scenario]:
    """APIs of other vendors, each asked by HTTP alone."""
    cases: list[tuple[str, str, str, dict[str, Any], Item]] = [
        (
            "Cohere",
            "https://api.cohere.com/v2/chat",
            "command-a-03-2025",
            {"provider": "cohere", **_READ, "cost_usd": (194 * 2.5 + 2 * 10) / 1e6},
            _json(
                {
                    "id": "c",
                    "message": _SAID,
                    "finish_reason": "COMPLETE",
                    "usage": {
                        "billed_units": {"input_tokens": 194, "output_tokens": 2},
                        "tokens": {"input_tokens": 690, "output_tokens": 3},
                    },
                }
            ),
        ),
        (
            "Ollama",
            "http://127.0.0.1:11434/api/chat",
            "gpt-oss:20b",
            {"provider": "ollama", **_READ, "unpriced": "1 unpriced"},
            _json(
                {
                    "model": "gpt-oss:20b",
                    "created_at": "2026-11-27T00:00:00Z",
                    "message": {"role": "assistant", "content": "hi"},
                    "done": True,
                    "done_reason": "stop",
                    "prompt_eval_count": 194,
                    "eval_count": 2,
                }
            ),
        ),
        (
            "Mistral",
            "https://api.mistral.ai/v1/chat/completions",
            "mistral-small-2603",
            {"provider": "mistral", **_READ, "cost_usd": (194 * 0.15 + 2 * 0.6) / 1e6},
            _chat("mistral-small-2603", _PLAIN),
        ),
        (
            "Groq",
            "https://api.groq.com/openai/v1/chat/completions",
            "llama-3.3-70b-versatile",
            {"provider": "groq", **_READ, "cost_usd": (194 * 0.59 + 2 * 0.79) / 1e6},
            _chat("llama-3.3-70b-versatile", {**_PLAIN, "queue_time": 0.01, "total_time": 0.1}),
        ),
    ]
    return [
        Scenario(
            f"wire {name}",
            "wire",
            f"{name} asked by HTTP alone",
            "wire_chat",
            {"calls": 1, **truth},
            {"url": url, "model": model},
            {"openai": [answer]},
        )
        for name, url, model, truth, answer in cases
    ]


def spread() -> list[Scenario]:
    """Streams whose reports of usage do not stand at their end alone."""
    at = _at("host.example.com", "m", stream=True)
    so_far = {"prompt_tokens": 194, "completion_tokens": 1, "total_tokens": 195}
    cases: list[tuple[str, str, dict[str, Any], Item]] = [
        (
            "early",
            "content follows the only report: it is no total, and that is said",
            {"input_tokens": 194, "usage_mismatch": 1},
            _stream(_piece("a", usage=so_far), _piece("b"), _piece("c"), _piece("", "stop")),
        ),
        (
            "two sides",
            "the prompt is in the first chunk, the completion in the last",
            _READ,
            _stream(
                _piece("a", usage={"prompt_tokens": 194}),
                _piece("b"),
                _piece("", "stop", usage={"completion_tokens": 2}),
            ),
        ),
        (
            "running",
            "each chunk has the total so far",
            _READ,
            _stream(_piece("a", usage=so_far), _piece("b", usage=_PLAIN), _piece("", "stop", usage=_PLAIN)),
        ),
        (
            "timings",
            "llama.cpp's server reports its tokens in `timings`",
            _READ,
            _stream(_piece("a"), _piece("", "stop", timings={"prompt_n": 104, "cache_n": 90, "predicted_n": 2})),
        ),
    ]
    return [
        Scenario(f"report {name}", "dialects", title, "openai_at", truth, at, {"openai": [answer]})
        for name, title, truth, answer in cases
    ]


def media() -> list[Scenario]:
    """What is billed by tokens of sound, by the image, or by the second."""
    done = {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}}
    spoken = "".join(
        f"data: {json.dumps(each)}\n\n" for each in ({"type": "speech.audio.delta", "audio": "AAAA"}, done)
    )
    drawn = _json({"created": 1, "data": [{"url": "https://images.example.com/1.png", "revised_prompt": "x"}]})
    return [
        Scenario(
            "speech as events",
            "media",
            "speech as events: the last has the tokens",
            "openai_speech",
            {"calls": 1, "input_tokens": 14, "output_tokens": 101, "cost_usd": (14 * 0.6 + 101 * 12) / 1e6},
            answers={"openai": [Raw(body=spoken.encode(), content_type="text/event-stream")]},
        ),
        Scenario(
            "image by quality and size",
            "media",
            "an image of DALL-E in high quality, wide",
            "openai_image",
            {"calls": 1, "cost_usd": 0.12},
            answers={"openai": [drawn]},
        ),
        Scenario(
            "transcription by the second",
            "media",
            "a transcription billed by its length",
            "openai_transcription",
            {"calls": 1, "cost_usd": 90 * 0.006 / 60},
            answers={"openai": [_json({"text": "hi", "usage": {"type": "duration", "seconds": 90}})]},
        ),
    ]
