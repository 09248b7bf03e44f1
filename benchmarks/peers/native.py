"""What the client libraries emit by themselves: anthropic and mcp have spans of their own."""

from __future__ import annotations

from typing import Any


def start(emitted: Any) -> None:
    emitted.make_global()
