"""Lets a model use tools until it answers.

    agent = Agent(ProviderFactory.create("openai"), await factory.create_all(), model="gpt-5")
    result = await agent.run("What time is it in Ulm?")

This is the one place where the LLM side and the MCP side meet. It is a `tachograph.run`: one span stands over it, and
the model's calls and the tools' calls carry its id.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tachograph.errors import TachographError
from tachograph.llm.providers.base import Provider
from tachograph.llm.types import Image, Message, Request, Response, Text, Tool, ToolRequest, ToolResult
from tachograph.mcp.errors import ToolError, ToolValidationError, UnknownToolError
from tachograph.mcp.factory import MCPTool
from tachograph.mcp.result import MCPToolResult
from tachograph.mcp.schemas import portable
from tachograph.records import Usage
from tachograph.runs import run


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool that the model asked for, and what came of it: an answer, or an error that the model was given."""

    request: ToolRequest
    result: MCPToolResult | None = None
    error: ToolError | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of the model, and the tools that it asked for."""

    response: Response
    tool_uses: tuple[ToolUse, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What came of a run.

    Attributes:
        messages: The whole conversation, the model's last answer included: give it back to go on.
    """

    steps: tuple[Step, ...]
    messages: tuple[Message, ...]

    @property
    def text(self) -> str:
        """The model's last answer."""
        return self.steps[-1].response.text if self.steps else ""

    @property
    def usage(self) -> Usage:
        """Tokens of all the model's calls."""
        total = Usage()
        for step in self.steps:
            if step.response.usage is not None:
                total = total + step.response.usage
        return total


class StepLimitError(TachographError):
    """The model still asked for tools when the limit was reached; `result` is how far it came."""

    def __init__(self, limit: int, result: AgentResult) -> None:
        super().__init__(
            f"the model still asks for tools after {limit} steps", do="Raise max_steps, or offer fewer tools"
        )
        self.result = result


class Agent:
    """A model with tools.

    Args:
        provider: Whose model.
        tools: What it may use, from `ToolFactory`. Several tools asked for at once run at once.
        model: The model's name.
        name: The agent's, of its runs.
        max_steps: Answers of the model at most.
        tool_timeout: Seconds for each tool; by default the executor's.
        fields: Further fields of each request (`system`, `max_tokens`, `labels`, ...), as `Provider.complete` takes
            them.
    """

    def __init__(
        self,
        provider: Provider,
        tools: Sequence[MCPTool],
        *,
        model: str,
        name: str = "agent",
        max_steps: int = 10,
        tool_timeout: float | None = None,
        **fields: Any,
    ) -> None:
        if max_steps < 1:
            raise TachographError(f"max_steps must be at least 1, not {max_steps}", where="Agent")
        self.name = name
        self.max_steps = max_steps
        self._provider = provider
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) < len(tools):
            raise TachographError("two tools have the same name", where="Agent", do="Use ToolFactory.create_all()")
        offered = tuple(Tool(tool.name, tool.description, portable(tool.entry.input_schema)) for tool in tools)
        self._request = Request(model=model, messages=(), tools=offered, **fields)
        self._tool_timeout = tool_timeout

    async def run(self, messages: str | Sequence[Message]) -> AgentResult:
        """Ask, let the model use its tools, and return when it answers without asking for one.

        The error of a tool is given to the model, which may do better.

        Raises:
            ProviderError: A call of the model failed for good.
            StepLimitError: The model does not come to an end.
        """
        conversation = list(replace(self._request, messages=messages).conversation)
        steps: list[Step] = []
        with run(self.name):
            for _ in range(self.max_steps):
                request = replace(self._request, messages=tuple(conversation))
                response = await self._provider.acomplete(request)
                conversation.append(response.message)
                uses = await asyncio.gather(*map(self._use, response.tool_calls))
                steps.append(Step(response, tuple(uses)))
                if not uses:
                    return AgentResult(tuple(steps), tuple(conversation))
                conversation.append(Message("user", tuple(map(_answer, uses))))
            raise StepLimitError(self.max_steps, AgentResult(tuple(steps), tuple(conversation)))

    async def _use(self, request: ToolRequest) -> ToolUse:
        tool = self._tools.get(request.name)
        if tool is None:
            unknown = UnknownToolError(
                f"there is no tool {request.name!r}; there are: {', '.join(self._tools) or 'none'}",
                tool_name=request.name,
            )
            for offered in self._tools.values():
                offered.executor.refuse(unknown, call_id=request.id)
                break
            return ToolUse(request, error=unknown)
        if not request.arguments and request.arguments_text.strip() not in ("", "{}", "null"):
            error = ToolValidationError(
                "the arguments are not a JSON object", server_id=tool.entry.server_id, tool_name=tool.entry.name
            )
            return ToolUse(request, error=tool.executor.refuse(error, call_id=request.id))
        try:
            result = await tool.call(request.arguments, self._tool_timeout, call_id=request.id)
        except ToolError as error:
            return ToolUse(request, error.result, error)
        return ToolUse(request, result)


def _answer(use: ToolUse) -> ToolResult:
    """The description of a tool that the model gets."""
    if use.result is not None:
        return ToolResult(use.request.id, _content(use.result), use.request.name, use.result.is_error)
    assert use.error is not None
    return ToolResult(use.request.id, use.error.what, use.request.name, True)


def _content(result: MCPToolResult) -> str | tuple[Text | Image, ...]:
    parts: list[Text | Image] = []
    for block in result.content:
        part = _part(block)
        if part is not None:
            parts.append(part)
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content)
    if all(isinstance(part, Text) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, Text))
    return tuple(parts)


def _part(block: Mapping[str, Any]) -> Text | Image | None:
    kind = block.get("type")
    if kind == "text":
        return Text(block.get("text", ""))
    if kind == "image":
        return Image(data=base64.b64decode(block.get("data", "")), media_type=block.get("mimeType", "image/png"))
    if kind == "resource" and "text" in block.get("resource", {}):
        return Text(block["resource"]["text"])
    return Text(json.dumps({key: value for key, value in block.items() if key not in ("data", "blob")}))
