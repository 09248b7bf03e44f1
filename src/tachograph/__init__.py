"""Production monitoring for Python applications that call LLM providers and MCP tools."""

from importlib import import_module
from typing import TYPE_CHECKING

from tachograph import interpreter as _interpreter  # first: it refuses where importing msgspec would end the process
from tachograph.errors import BudgetExceededError, MissingExtraError, SettingsError, TachographError
from tachograph.instrument import instrument, uninstrument
from tachograph.recorder import Recorder
from tachograph.records import Attempt, Cost, LLMCall, ToolCall, Usage, labels
from tachograph.records.reservation import BudgetRequest
from tachograph.runtime import configure, get_recorder, metrics_asgi_app, metrics_wsgi_app
from tachograph.settings import Settings
from tachograph.version import __version__

del _interpreter

if TYPE_CHECKING:
    from tachograph.llm import (
        Limiter,
        Message,
        ProviderError,
        ProviderFactory,
        Request,
        Response,
        RetryPolicy,
        Tool,
        ToolResult,
    )
    from tachograph.runs import run

__all__ = [
    "Attempt",
    "BudgetExceededError",
    "BudgetRequest",
    "Cost",
    "LLMCall",
    "Limiter",
    "Message",
    "MissingExtraError",
    "ProviderError",
    "ProviderFactory",
    "Recorder",
    "Request",
    "Response",
    "RetryPolicy",
    "Settings",
    "SettingsError",
    "TachographError",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Usage",
    "__version__",
    "configure",
    "get_recorder",
    "instrument",
    "labels",
    "metrics_asgi_app",
    "metrics_wsgi_app",
    "run",
    "uninstrument",
]


def __getattr__(name: str) -> object:
    """The engine is loaded when it is first used: most applications only watch the clients they have."""
    if name == "run":  # it brings OpenTelemetry with it
        return import_module("tachograph.runs").run
    if name in __all__:
        return getattr(import_module("tachograph.llm"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
