"""Production monitoring for Python applications that call LLM providers and MCP tools."""

from tachograph.errors import MissingExtraError, SettingsError, TachographError
from tachograph.instrument import instrument, uninstrument
from tachograph.recorder import Recorder
from tachograph.records import Attempt, Cost, LLMCall, ToolCall, Usage, labels
from tachograph.runtime import configure, get_recorder, metrics_asgi_app, metrics_wsgi_app
from tachograph.settings import Settings
from tachograph.version import __version__

__all__ = [
    "Attempt",
    "Cost",
    "LLMCall",
    "MissingExtraError",
    "Recorder",
    "Settings",
    "SettingsError",
    "TachographError",
    "ToolCall",
    "Usage",
    "__version__",
    "configure",
    "get_recorder",
    "instrument",
    "labels",
    "metrics_asgi_app",
    "metrics_wsgi_app",
    "uninstrument",
]
