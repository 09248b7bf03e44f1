"""The LLM side: providers, factory, retries, errors, pricing, and their metrics.

Names are loaded when first used, so that importing the metrics of this side loads none of its engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tachograph.llm.errors import (
        AuthenticationError,
        ContentFilterError,
        InvalidRequestError,
        ProviderConnectionError,
        ProviderError,
        ProviderTimeoutError,
        QuotaError,
        RateLimitError,
        ServerError,
        UnknownProviderError,
    )
    from tachograph.llm.factory import ProviderFactory
    from tachograph.llm.limiter import Limiter
    from tachograph.llm.providers.base import Provider
    from tachograph.llm.retry import NO_RETRIES, RetryPolicy
    from tachograph.llm.streams import AsyncStream, Stream
    from tachograph.llm.types import (
        Completed,
        Image,
        Message,
        Reasoning,
        ReasoningDelta,
        Request,
        Response,
        Text,
        TextDelta,
        Tool,
        ToolCallDelta,
        ToolRequest,
        ToolResult,
    )

_MODULES = {
    "tachograph.llm.errors": (
        "AuthenticationError",
        "ContentFilterError",
        "InvalidRequestError",
        "ProviderConnectionError",
        "ProviderError",
        "ProviderTimeoutError",
        "QuotaError",
        "RateLimitError",
        "ServerError",
        "UnknownProviderError",
    ),
    "tachograph.llm.factory": ("ProviderFactory",),
    "tachograph.llm.limiter": ("Limiter",),
    "tachograph.llm.providers.base": ("Provider",),
    "tachograph.llm.retry": ("NO_RETRIES", "RetryPolicy"),
    "tachograph.llm.streams": ("AsyncStream", "Stream"),
    "tachograph.llm.types": (
        "Completed",
        "Image",
        "Message",
        "Reasoning",
        "ReasoningDelta",
        "Request",
        "Response",
        "Text",
        "TextDelta",
        "Tool",
        "ToolCallDelta",
        "ToolRequest",
        "ToolResult",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "NO_RETRIES",
    "AsyncStream",
    "AuthenticationError",
    "Completed",
    "ContentFilterError",
    "Image",
    "InvalidRequestError",
    "Limiter",
    "Message",
    "Provider",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderFactory",
    "ProviderTimeoutError",
    "QuotaError",
    "RateLimitError",
    "Reasoning",
    "ReasoningDelta",
    "Request",
    "Response",
    "RetryPolicy",
    "ServerError",
    "Stream",
    "Text",
    "TextDelta",
    "Tool",
    "ToolCallDelta",
    "ToolRequest",
    "ToolResult",
    "UnknownProviderError",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
