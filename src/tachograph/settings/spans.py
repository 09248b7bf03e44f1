"""Settings of the span signal."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class SpansSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How spans are made.

    Attributes:
        enabled: Make spans when the application has set a TracerProvider.
        names: `contract` (llm.complete, mcp.tool.execute) or `otel` (chat gpt-5, tools/call get_time).
        duplicate_usage: Put `gen_ai.usage.*` on our span of a model's call even below a framework's span of the same
            call. Without, the framework's carries it, and a backend that sums tokens over a trace counts them once.
        content: Record what is said in prompts, answers, tool arguments and results. Off unless asked for.
        content_limit: Longest recorded content, in characters.
    """

    enabled: bool = True
    names: Literal["contract", "otel"] = "contract"
    duplicate_usage: bool = False
    content: bool = False
    content_limit: Annotated[int, msgspec.Meta(ge=0)] = 8192
