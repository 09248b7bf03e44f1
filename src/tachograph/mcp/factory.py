"""Makes callable tools out of registry entries.

factory = ToolFactory(executor)
get_time = await factory.create("get_current_time")
answer = await get_time(timezone="UTC")
client.chat.completions.create(..., tools=[get_time.definition("openai")])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from tachograph.errors import TachographError
from tachograph.mcp.executor import ToolExecutor
from tachograph.mcp.formats import FORMATS, Definition, safe_name
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.mcp.registry import ToolEntry
from tachograph.mcp.result import MCPToolResult
from tachograph.mcp.schemas import with_own_names


@dataclass(frozen=True, slots=True, eq=False)
class MCPTool:
    """A tool of a server that can be called.

    Attributes:
        name: The name that a model is given: the server's name for it, made fit for every provider.
        entry: As the registry has it.
    """

    name: str
    entry: ToolEntry
    executor: ToolExecutor

    @property
    def description(self) -> str:
        """What the server says about it."""
        return self.entry.description or self.entry.title or self.entry.name

    async def __call__(self, **arguments: object) -> MCPToolResult:
        """Run it; see `ToolExecutor.execute`."""
        return await self.call(arguments)

    async def call(
        self, arguments: Mapping[str, Any] | None = None, timeout: float | None = None, *, call_id: str | None = None
    ) -> MCPToolResult:
        """Run it with arguments from a model; see `ToolExecutor.execute`."""
        arguments = with_own_names(self.entry.input_schema, dict(arguments or {}))
        return await self.executor.execute(self.entry.server_id, self.entry.name, arguments, timeout, call_id=call_id)

    def definition(self, provider: str) -> Definition:
        """Its definition in a provider's format: openai, openai_responses, anthropic or gemini.

        Raises:
            TachographError: There is no such format.
        """
        try:
            make = FORMATS[provider]
        except KeyError:
            known = ", ".join(FORMATS)
            raise TachographError(f"there is no tool format {provider!r}", do=f"Formats: {known}") from None
        return make(self.name, self.description, self.entry.input_schema)


class ToolFactory:
    """Makes tools. Each creation is measured (`factory_create_seconds{factory_type="tool"}`), without the lookup.

    Args:
        executor: Runs the tools that are made.
    """

    def __init__(self, executor: ToolExecutor) -> None:
        self.executor = executor
        self._registry = executor.registry
        self._recorder = executor.recorder

    async def create(self, tool: str, *, server: str | None = None) -> MCPTool:
        """Make one tool, from whichever server has it, or from this one.

        Raises:
            ToolError: As `ToolRegistry.find`.
        """
        find = self._registry.find
        return self._make(await (find(tool) if server is None else find(server, tool)))

    async def create_all(self, server: str | None = None) -> list[MCPTool]:
        """Make every tool of a server, or of all that can be reached.

        Where several tools would have one name, each gets its server's name in front: `files__search`.
        """
        entries = await self._registry.tools(server)
        names = [safe_name(entry.name) for entry in entries]
        tools: dict[str, MCPTool] = {}
        for entry, name in zip(entries, names, strict=True):
            unique = name if names.count(name) == 1 else safe_name(f"{entry.server_id}__{entry.name}")
            number = 2
            while unique in tools:
                suffix = f"_{number}"
                unique, number = safe_name(f"{entry.server_id}__{entry.name}")[: 64 - len(suffix)] + suffix, number + 1
            tools[unique] = self._make(entry, unique)
        return list(tools.values())

    def _make(self, entry: ToolEntry, name: str | None = None) -> MCPTool:
        started_ns = perf_counter_ns()
        tool = MCPTool(name or safe_name(entry.name), entry, self.executor)
        self._recorder.factory_created("tool", entry.name, started_ns)
        self._recorder.metrics.part(MCPMetrics).tool_known(entry.server_id, entry.name)
        if self._recorder.tool_owners is not None:
            self._recorder.tool_owners.made(tool.name, entry.server_id)
        return tool
