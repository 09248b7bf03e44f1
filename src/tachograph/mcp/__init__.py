"""The MCP side: client, registry, tool factory, executor, agent, errors, and their metrics.

The names below are imported when first used: `import tachograph` loads this package for its metrics, and must not load
the MCP SDK.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tachograph.mcp.agent import Agent, AgentResult, Step, StepLimitError, ToolUse
    from tachograph.mcp.client import MCPClient
    from tachograph.mcp.config import HTTPServer, StdioServer, load_config
    from tachograph.mcp.connection import ConnectionOptions, ServerStatus
    from tachograph.mcp.errors import (
        AmbiguousToolError,
        ConfigError,
        ServerUnavailableError,
        ToolConnectionError,
        ToolError,
        ToolExecutionError,
        ToolTimeoutError,
        ToolValidationError,
        UnknownToolError,
    )
    from tachograph.mcp.executor import ToolExecutor
    from tachograph.mcp.factory import MCPTool, ToolFactory
    from tachograph.mcp.registry import ToolEntry, ToolRegistry
    from tachograph.mcp.result import MCPToolResult

_HOMES = {
    "agent": ("Agent", "AgentResult", "Step", "StepLimitError", "ToolUse"),
    "client": ("MCPClient",),
    "config": ("HTTPServer", "StdioServer", "load_config"),
    "connection": ("ConnectionOptions", "ServerStatus"),
    "errors": (
        "AmbiguousToolError",
        "ConfigError",
        "ServerUnavailableError",
        "ToolConnectionError",
        "ToolError",
        "ToolExecutionError",
        "ToolTimeoutError",
        "ToolValidationError",
        "UnknownToolError",
    ),
    "executor": ("ToolExecutor",),
    "factory": ("MCPTool", "ToolFactory"),
    "registry": ("ToolEntry", "ToolRegistry"),
    "result": ("MCPToolResult",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentResult",
    "AmbiguousToolError",
    "ConfigError",
    "ConnectionOptions",
    "HTTPServer",
    "MCPClient",
    "MCPTool",
    "MCPToolResult",
    "ServerStatus",
    "ServerUnavailableError",
    "StdioServer",
    "Step",
    "StepLimitError",
    "ToolConnectionError",
    "ToolEntry",
    "ToolError",
    "ToolExecutionError",
    "ToolExecutor",
    "ToolFactory",
    "ToolRegistry",
    "ToolTimeoutError",
    "ToolUse",
    "ToolValidationError",
    "UnknownToolError",
    "load_config",
]


_RENAMED = {"Tool": "MCPTool", "ToolResult": "MCPToolResult"}
"""Old names, for one release: `tachograph.Tool` is what a model is offered."""


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        new = _RENAMED[name]
        text = f"{__name__}.{name} goes away with the next release: import {new} from {__name__}"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        name = new
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
