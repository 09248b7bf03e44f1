"""What a server asks of its client in the middle of a call: answered by the application's hooks.

Without a hook the client does not say that it can answer. The server then refuses the call, and the error names the
hook that is missing (`tachograph.mcp.errors`).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types

from tachograph.mcp.transports import EXCHANGE
from tachograph.records import ENGINE_MCP

logger = logging.getLogger("tachograph.mcp")

Hook = Callable[[str, Any], Any]


def elicitation(server_id: str, hook: Hook | None) -> Any:
    """The SDK's callback for questions to the user, or None.

    Args:
        hook: Gets the server's id and its question (`mcp_types.ElicitRequestParams`); returns the answer's fields as a
            mapping, None to decline, or an `mcp_types.ElicitResult`. May be a coroutine function; a plain function runs
            in a thread, so that it may wait for a person.
    """
    if hook is None:
        return None

    async def answer(context: object, params: types.ElicitRequestParams) -> types.ElicitResult | types.ErrorData:
        said = await _ask(server_id, "elicitation", hook, params)
        if said is None:
            return types.ElicitResult(action="decline")
        if isinstance(said, Mapping):
            return types.ElicitResult(action="accept", content=dict(said))
        return said  # type: ignore[no-any-return]

    return answer


def sampling(server_id: str, hook: Hook | None) -> Any:
    """The SDK's callback for a server that needs a model to answer, or None.

    Args:
        hook: Gets the server's id and `mcp_types.CreateMessageRequestParams`; returns the model's text, or an
            `mcp_types.CreateMessageResult`. Otherwise as for `elicitation`.
    """
    if hook is None:
        return None

    async def answer(
        context: object, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        said = await _ask(server_id, "sampling", hook, params)
        if isinstance(said, str):
            content = types.TextContent(type="text", text=said)
            return types.CreateMessageResult(role="assistant", content=content, model="unknown")
        return said  # type: ignore[no-any-return]

    return answer


async def _ask(server_id: str, name: str, hook: Hook, params: object) -> Any:
    """Ask the application, outside of the current call: what it calls in there is recorded as its own."""
    inside, exchange = ENGINE_MCP.set(False), EXCHANGE.set(None)
    try:
        if inspect.iscoroutinefunction(hook):
            return await hook(server_id, params)
        return await asyncio.to_thread(hook, server_id, params)
    except Exception as error:
        logger.exception("MCP server %r: the %s hook failed", server_id, name)
        return types.ErrorData(code=types.INTERNAL_ERROR, message=f"the {name} hook failed: {type(error).__name__}")
    finally:
        EXCHANGE.reset(exchange)
        ENGINE_MCP.reset(inside)
