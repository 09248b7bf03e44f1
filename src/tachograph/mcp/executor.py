"""Runs one tool: found, checked, sent, measured, traced, and its failure sorted.

The record is begun before the lookup and finished exactly once, in the caller's own task and context, so its span has
the caller's span as parent, and its duration is what the caller waited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import propagate

from tachograph.mcp.errors import (
    ERROR_OF_KIND,
    ToolConnectionError,
    ToolError,
    ToolTimeoutError,
    ToolValidationError,
    is_unknown_tool,
    kind_of_error_result,
    outcome_of_kind,
    tool_error,
)
from tachograph.mcp.registry import ToolEntry, ToolRegistry
from tachograph.mcp.result import MCPToolResult
from tachograph.mcp.transports import Exchange
from tachograph.records import ToolCall
from tachograph.records.content import keep
from tachograph.signals import semconv

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

DEFAULT_TIMEOUT_SECONDS: Final = 30.0


class ToolExecutor:
    """Executes tools of a registry's servers.

    Args:
        registry: Where tools are found.
        timeout: Seconds for a call that gives none of its own: the lookup, a reconnection and the tool together.

    Attributes:
        recorder: What measures the calls.
    """

    def __init__(self, registry: ToolRegistry, *, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self.registry = registry
        self.timeout = timeout
        self._client = registry.client
        self.recorder = self._client.recorder

    async def execute(
        self,
        server_id: str,
        tool_name: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        *,
        call_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> MCPToolResult:
        """Run one tool and return its answer.

        Args:
            timeout: Seconds, for everything.
            call_id: The model's id for this call, when a model asked for it.
            labels: Labels for this call, beside those of the surrounding code.

        Raises:
            ToolConnectionError: The server cannot be reached, refuses us, or went away during the call.
            ToolValidationError: No such tool (`UnknownToolError`), or the arguments do not fit its schema; or the
                server says so; or the answer does not fit its output schema.
            ToolExecutionError: The tool ran and failed; what it said is `error.result`.
            ToolTimeoutError: No answer in time.
        """
        sent = dict(arguments or {})
        seconds = self.timeout if timeout is None else timeout
        call = self.recorder.start_tool_call(server_id, tool_name, argument_count=len(sent), labels=labels)
        call.call_id = call_id
        call.attributes = self._client.facts(server_id)
        keep(call, "tool.arguments", lambda: sent)
        exchange = Exchange()
        try:
            async with asyncio.timeout(seconds):
                entry = await self.registry.find(server_id, tool_name)
                _check(entry, sent)
                result = await self._send(entry, sent, seconds, exchange)
        except asyncio.CancelledError as error:
            call.finish("cancelled", error=error)
            raise
        except ToolError as error:
            self._fail(call, error)
            raise
        except TimeoutError as error:
            failure = self._too_late(server_id, tool_name, seconds, exchange)
            self._fail(call, failure)
            raise failure from error
        except Exception as error:
            failure = tool_error(error, server_id, tool_name, status=exchange.status, transport_error=exchange.error)
            self._fail(call, failure)
            raise failure from error
        keep(call, "tool.result", lambda: list(result.content))
        if result.is_error:
            failure = _error_result(entry, result)
            self._fail(call, failure, result.text)
            raise failure
        call.finish("success")
        return result

    def refuse(self, error: ToolValidationError, *, call_id: str | None = None) -> ToolValidationError:
        """Record a call that cannot even be tried: a model's arguments are no JSON, or there is no such tool."""
        call = self.recorder.start_tool_call(error.server_id or "unknown", error.tool_name)
        call.call_id = call_id
        self._fail(call, error)
        return error

    async def _send(
        self, entry: ToolEntry, arguments: dict[str, Any], seconds: float, exchange: Exchange
    ) -> MCPToolResult:
        carrier: dict[str, Any] = {}
        propagate.inject(carrier)  # in the caller's context, where the call's span is current

        async def operation(client: Client) -> CallToolResult:
            exchange.begun = True
            return await client.call_tool(
                entry.name,
                arguments,
                read_timeout_seconds=seconds,
                meta=carrier or None,  # type: ignore[arg-type]
            )

        try:
            answer = await self._client.request(entry.server_id, operation, seconds, exchange)
        except Exception:
            if not exchange.is_session_lost:
                raise
            # The server restarted or let the session lapse, and refused the call unseen: once more, in a new session.
            exchange.is_session_lost, exchange.status = False, None
            answer = await self._client.request(entry.server_id, operation, seconds, exchange)
        return _result(answer)

    def _too_late(self, server_id: str, tool_name: str, seconds: float, exchange: Exchange) -> ToolError:
        """A tool that was never reached in time is a matter of its connection."""
        if exchange.begun or self._client.is_up(server_id):
            what = f"no answer within {seconds:g} s"
            return ToolTimeoutError(what, server_id=server_id, tool_name=tool_name)
        what = f"the server was not connected within {seconds:g} s"
        return ToolConnectionError(what, server_id=server_id, tool_name=tool_name)

    def _fail(self, call: ToolCall, error: ToolError, said: str | None = None) -> None:
        """Finish the record. What the tool `said` is content: it is kept as text, which is recorded only when asked."""
        call.is_made_up = is_unknown_tool(error if said is None else said)
        attributes = call.attributes = call.attributes or {}
        if error.code is not None:
            attributes[semconv.RPC_STATUS] = str(error.code)
        if error.status is not None and error.status >= 400:
            attributes[semconv.HTTP_STATUS] = error.status
        if said is not None:
            attributes[semconv.ERROR_TYPE] = "tool_error"
        else:
            attributes[semconv.ERROR_TYPE] = str(error.code) if error.code is not None else error.kind
        call.finish(outcome_of_kind(error.kind), error.kind, error=error if said is None else said)


def _check(entry: ToolEntry, arguments: dict[str, Any]) -> None:
    problems = entry.check.problems(arguments)
    if problems:
        raise ToolValidationError(
            "the arguments do not fit the tool's schema: " + "; ".join(problems),
            server_id=entry.server_id,
            tool_name=entry.name,
        )


def _result(answer: CallToolResult) -> MCPToolResult:
    return MCPToolResult(
        tuple(block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in answer.content),
        answer.structured_content,
        bool(answer.is_error),
        dict(answer.meta) if answer.meta else None,
    )


def _error_result(entry: ToolEntry, result: MCPToolResult) -> ToolError:
    text = result.text
    return ERROR_OF_KIND[kind_of_error_result(text)](
        text[:500] or "the tool failed and said nothing",
        server_id=entry.server_id,
        tool_name=entry.name,
        result=result,
    )
