"""Closures around the three clients' public methods, for the floors: no retries, no errors, no streams' subtleties."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Begin = Callable[[str, str], Any]
End = Callable[[Any, int, int], None]


def wrap_clients(begin: Begin, end: End) -> None:
    """Watch chat completions, messages, generate_content and MCP tool calls, sync and async."""
    from anthropic.resources.messages import AsyncMessages, Messages
    from google.genai.models import AsyncModels, Models
    from mcp import ClientSession
    from openai.resources.chat.completions import AsyncCompletions, Completions

    def tokens(answer: Any, prompt: str, completion: str) -> tuple[int, int]:
        usage = getattr(answer, "usage", None) or getattr(answer, "usage_metadata", None)
        return (getattr(usage, prompt, 0) or 0, getattr(usage, completion, 0) or 0) if usage else (0, 0)

    for owner, name, provider, prompt, completion in (
        (Completions, "create", "openai", "prompt_tokens", "completion_tokens"),
        (AsyncCompletions, "create", "openai", "prompt_tokens", "completion_tokens"),
        (Messages, "create", "anthropic", "input_tokens", "output_tokens"),
        (AsyncMessages, "create", "anthropic", "input_tokens", "output_tokens"),
        (Models, "generate_content", "gemini", "prompt_token_count", "candidates_token_count"),
        (AsyncModels, "generate_content", "gemini", "prompt_token_count", "candidates_token_count"),
    ):
        wrap(owner, name, provider, begin, end, lambda answer, p=prompt, c=completion: tokens(answer, p, c))
    wrap(ClientSession, "call_tool", "mcp", begin, end, lambda answer: (0, 0))


def wrap(owner: Any, name: str, provider: str, begin: Begin, end: End, read: Callable[[Any], tuple[int, int]]) -> None:
    """Replace one method by a closure."""
    original = getattr(owner, name)

    if inspect.iscoroutinefunction(original):

        async def watched_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            begun = begin(provider, kwargs.get("model") or (args[0] if args else ""))
            answer = await original(self, *args, **kwargs)
            if hasattr(answer, "__aiter__"):
                return _watch_async(answer, begun, end)
            end(begun, *read(answer))
            return answer

        setattr(owner, name, watched_async)
        return

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = begin(provider, kwargs.get("model") or (args[0] if args else ""))
        answer = original(self, *args, **kwargs)
        if kwargs.get("stream"):
            answer._iterator = _watch(answer._iterator, begun, end)
            return answer
        end(begun, *read(answer))
        return answer

    setattr(owner, name, watched)


def _watch(chunks: Any, begun: Any, end: End) -> Any:
    last = None
    for last in chunks:
        yield last
    usage = getattr(last, "usage", None)
    end(begun, getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0)


async def _watch_async(chunks: Any, begun: Any, end: End) -> Any:
    last = None
    async for last in chunks:
        yield last
    usage = getattr(last, "usage", None)
    end(begun, getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0)
