"""The vendors' real SDKs, asking the simulators one question each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from tachograph_demo.simulators import (
    ServedUsage,
    Simulators,
)

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
CLAUDE = "claude-haiku-4-5"
FULL = ServedUsage(
    prompt=3000,
    completion=500,
    cache_read=1024,
    cache_write_5m=100,
    cache_write_1h=200,
    reasoning=300,
    web_searches=2,
    service_tier="priority",
)


def openai_client(sims: Simulators, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=sims.openai.url, api_key="key", **{"max_retries": 0, **more})


def anthropic_client(sims: Simulators, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=sims.anthropic.url, api_key="key", **{"max_retries": 0, **more})


def gemini_client(sims: Simulators, **more: Any) -> genai.Client:
    return genai.Client(api_key="key", http_options={"base_url": sims.gemini.url, **more})  # type: ignore[arg-type]


@dataclass
class Asked:
    """What a client got: prompt and completion under the contract's rule, and the text."""

    prompt: int | None
    completion: int | None
    text: str


def ask_openai(sims: Simulators) -> Asked:
    r = openai_client(sims).chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert r.usage
    return Asked(r.usage.prompt_tokens, r.usage.completion_tokens, r.choices[0].message.content or "")


def ask_openai_stream(sims: Simulators) -> Asked:
    chunks = list(
        openai_client(sims).chat.completions.create(
            model="gpt-5", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    usage = chunks[-1].usage
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    return Asked(usage.prompt_tokens if usage else None, usage.completion_tokens if usage else None, text)


def ask_responses(sims: Simulators) -> Asked:
    r = openai_client(sims).responses.create(model="gpt-5", input="Where is my parcel?")
    assert r.usage
    return Asked(r.usage.input_tokens, r.usage.output_tokens, r.output_text)


def ask_responses_stream(sims: Simulators) -> Asked:
    with openai_client(sims).responses.stream(model="gpt-5", input="Where is my parcel?") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        usage = stream.get_final_response().usage
    assert usage
    return Asked(usage.input_tokens, usage.output_tokens, text)


def _anthropic_prompt(usage: Any) -> int:
    return int(usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0))


def ask_anthropic(sims: Simulators) -> Asked:
    m = anthropic_client(sims).messages.create(model=CLAUDE, max_tokens=500, messages=MESSAGES)
    text = "".join(b.text for b in m.content if b.type == "text")
    return Asked(_anthropic_prompt(m.usage), m.usage.output_tokens, text)


def ask_anthropic_stream(sims: Simulators) -> Asked:
    with anthropic_client(sims).messages.stream(model=CLAUDE, max_tokens=500, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        usage = stream.get_final_message().usage
    return Asked(_anthropic_prompt(usage), usage.output_tokens, text)


def _gemini(usage: Any, text: str) -> Asked:
    return Asked(
        usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
        usage.candidates_token_count + (usage.thoughts_token_count or 0),
        text,
    )


def ask_gemini(sims: Simulators) -> Asked:
    client = gemini_client(sims)
    r = client.models.generate_content(model="gemini-2.5-pro", contents="Where is my parcel?")
    return _gemini(r.usage_metadata, r.text or "")


def ask_gemini_stream(sims: Simulators) -> Asked:
    client = gemini_client(sims)
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-pro", contents="Where is my parcel?"))
    return _gemini(chunks[-1].usage_metadata, "".join(c.text or "" for c in chunks))


def ask_interactions(sims: Simulators) -> Asked:
    client = gemini_client(sims)
    r: Any = client.interactions.create(model="gemini-2.5-pro", input="Where is my parcel?")
    u = r.usage
    return Asked(
        u.total_input_tokens + u.total_tool_use_tokens,
        u.total_output_tokens + u.total_thought_tokens,
        r.output_text,
    )


def ask_interactions_stream(sims: Simulators) -> Asked:
    client = gemini_client(sims)
    events: Any = list(client.interactions.create(model="gemini-2.5-pro", input="Where is my parcel?", stream=True))
    done = next(e for e in events if e.event_type == "interaction.completed")
    u = done.interaction.usage
    text = "".join(e.delta.text for e in events if e.event_type == "step.delta")
    return Asked(u.total_input_tokens + u.total_tool_use_tokens, u.total_output_tokens + u.total_thought_tokens, text)


ASK: dict[str, tuple[str, Callable[[Simulators], Asked]]] = {
    "openai chat": ("openai", ask_openai),
    "openai chat stream": ("openai", ask_openai_stream),
    "openai responses": ("openai", ask_responses),
    "openai responses stream": ("openai", ask_responses_stream),
    "anthropic": ("anthropic", ask_anthropic),
    "anthropic stream": ("anthropic", ask_anthropic_stream),
    "gemini": ("gemini", ask_gemini),
    "gemini stream": ("gemini", ask_gemini_stream),
    "interactions": ("gemini", ask_interactions),
    "interactions stream": ("gemini", ask_interactions_stream),
}
each_api = pytest.mark.parametrize("api", ASK)
