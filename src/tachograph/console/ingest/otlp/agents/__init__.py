"""Coding agents that tell their calls as events (OTLP logs): one agent for each file, and what they have in common.

An event becomes the span that it stands for, in OpenTelemetry's words, and is then read as every span is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tachograph.console.ingest.otlp.agents import claude_code, codex, gemini_cli

Attributes = Mapping[str, Any]


class AgentEvents(NamedTuple):
    """One agent.

    Attributes:
        prefix: What the names of its events begin with.
        services: Its `service.name`; its spans tell the same calls again, so they are shown and not counted.
        read: From an event's short name and attributes to the call's; None where it reports no call that has ended.
    """

    prefix: str
    services: tuple[str, ...]
    read: Callable[[str, Attributes], dict[str, Any] | None]


AGENTS: Final = (
    AgentEvents("claude_code.", ("claude-code",), claude_code.read),
    AgentEvents("codex.", ("codex_cli_rs", "codex-cli", "codex_exec", "codex-app-server"), codex.read),
    AgentEvents("gemini_cli.", ("gemini-cli",), gemini_cli.read),
)
SERVICES: Final = frozenset(service for agent in AGENTS for service in agent.services)
VERSIONED_BY_NODE: Final = frozenset({"gemini-cli"})
"""Those whose `service.version` is that of Node."""
