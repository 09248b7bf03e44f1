"""FastMCP without its telemetry: what FastMCP's own is compared with."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.peers.fastmcp import tool_client, tool_server

__all__ = ["start", "tool_client", "tool_server"]


def start(emitted: Any) -> None:
    os.environ["FASTMCP_TELEMETRY_MODE"] = "off"
