"""The spans that client libraries make of their own: anthropic 2 and mcp 2 do, once a TracerProvider is set.

Theirs would stand beside ours and carry the same tokens, so that a trace viewer that sums them counts twice. Ours has
what theirs has and more, so theirs is left out while ours stands for the call.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tachograph.instrument.imports import after_import
from tachograph.signals import native

_silenced: list[tuple[Any, str]] = []


def install_anthropic() -> None:
    """Leave out anthropic's spans of calls that have one of ours."""
    after_import("anthropic._base_client", _anthropic)


def install_mcp() -> None:
    """Leave out mcp's client spans of tool calls that have one of ours."""
    after_import("mcp.shared.jsonrpc_dispatcher", _mcp)


def install_mcp_server() -> None:
    """Leave out mcp's spans of requests to servers of this process while they would go nowhere."""
    after_import("mcp.server._otel", _mcp_server)


def restore() -> None:
    """Let them be made again."""
    while _silenced:
        owner, name = _silenced.pop()
        native.restore(owner, name)


def _anthropic(module: ModuleType) -> None:
    for owner in (getattr(module, "BaseClient", None), module.SyncAPIClient, module.AsyncAPIClient):
        if owner is not None and native.silence_tracer(owner):
            _silenced.append((owner, "_tracer"))


def _mcp(module: ModuleType) -> None:
    if native.silence_span_function(module, "otel_span"):
        _silenced.append((module, "otel_span"))


def _mcp_server(module: ModuleType) -> None:
    if native.silence_span_function(module, "otel_span", beside_ours=True):
        _silenced.append((module, "otel_span"))
