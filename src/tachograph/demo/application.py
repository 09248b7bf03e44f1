"""The application under watch: a shop's assistants, built on our engine as a user would build them.

It knows nothing of simulators, incidents or views; it gets addresses and does its jobs.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Mapping
from typing import Any

from tachograph.llm import Completed, Message, Provider, ProviderError, ProviderFactory, ToolResult
from tachograph.llm import Tool as ToolDefinition
from tachograph.mcp import ConnectionOptions, MCPClient, Tool, ToolError, ToolExecutor, ToolFactory, ToolRegistry
from tachograph.recorder import Recorder
from tachograph.records import labels

from .jobs import Job

logger = logging.getLogger("tachograph.demo")

TOOLS = (
    "get_current_time",
    "convert_time",
    "git_status",
    "git_log",
    "git_diff_unstaged",
    "search_orders",
    "quote_refund",
    "weather",
    "summarise_ticket",
    "stock_level",
)
"""Tools the agents may use: those that only read."""
TOOL_TIMEOUT_SECONDS = 25.0
DEADLINE_SECONDS = 45.0
_STEPS_AT_MOST = 6


class Application:
    """Does jobs.

    Args:
        recorder: Where its calls are recorded.
        addresses: Base URL of each provider.
    """

    def __init__(self, recorder: Recorder, addresses: Mapping[str, str]) -> None:
        self._recorder = recorder
        self._addresses = addresses
        self._providers: dict[str, Provider] = {}
        self._client: MCPClient | None = None
        self._tools: dict[str, Tool] = {}
        self._definitions: list[ToolDefinition] = []
        self._tools_ready = asyncio.Event()

    def connect_providers(self) -> None:
        """Make a provider for each address; slow the first time, when the SDKs are imported."""
        for name, address in self._addresses.items():
            self._providers[name] = ProviderFactory.create(
                name, base_url=address, api_key="demo-key", recorder=self._recorder
            )

    async def connect_tools(self, servers: Mapping[str, Any]) -> None:
        """Connect to the MCP servers and load their tools; agents wait for this.

        Args:
            servers: An `mcpServers` configuration.
        """
        options = ConnectionOptions(errlog=subprocess.DEVNULL, backoff_longest=2.0)
        client = self._client = MCPClient(servers, recorder=self._recorder, options=options)
        await client.open()
        factory = ToolFactory(ToolExecutor(ToolRegistry(client), timeout=TOOL_TIMEOUT_SECONDS))
        self._tools = {tool.name: tool for tool in await factory.create_all() if tool.entry.name in TOOLS}
        self._definitions = [
            ToolDefinition(tool.name, tool.description, tool.entry.input_schema) for tool in self._tools.values()
        ]
        self._tools_ready.set()

    async def close(self) -> None:
        """Close every connection, the MCP servers' child processes included."""
        if self._client is not None:
            await self._client.close()
        for provider in self._providers.values():
            await provider.aclose()

    async def do(self, job: Job) -> None:
        """Do one job. What goes wrong is the job's loss; the record of it is what the demo is about."""
        with labels(team=job.team, feature=job.kind):
            try:
                if job.kind == "agent":
                    await self._agent(job)
                else:
                    await self._converse(job)
            except (ProviderError, ToolError) as error:
                logger.debug("job %d failed: %s", job.number, error)

    async def _converse(self, job: Job) -> None:
        provider = self._providers[job.model.provider]
        options: dict[str, Any] = {}
        if job.is_cached and job.model.provider == "anthropic":
            options["cache_control"] = {"type": "ephemeral"}
        conversation: list[Message] = []
        for turn in job.turns:
            conversation.append(Message("user", turn))
            request: dict[str, Any] = {
                "model": job.model.name,
                "messages": list(conversation),
                "system": job.system,
                "deadline": DEADLINE_SECONDS,
                "options": options,
            }
            if job.kind == "stream":
                async for event in provider.astream(**request):
                    if isinstance(event, Completed):
                        conversation.append(event.response.message)
            else:
                conversation.append((await provider.acomplete(**request)).message)

    async def _agent(self, job: Job) -> None:
        """Let the model use tools until it answers."""
        await self._tools_ready.wait()
        provider = self._providers[job.model.provider]
        conversation = [Message("user", job.turns[0])]
        for _ in range(_STEPS_AT_MOST):
            answer = await provider.acomplete(
                model=job.model.name,
                messages=list(conversation),
                system=job.system,
                tools=self._definitions,
                deadline=DEADLINE_SECONDS,
            )
            if not answer.tool_calls:
                return
            results = []
            for asked in answer.tool_calls:
                try:
                    result = await self._tools[asked.name].call(asked.arguments, call_id=asked.id)
                    results.append(ToolResult(asked.id, result.text, asked.name))
                except ToolError as error:
                    results.append(ToolResult(asked.id, str(error), asked.name, is_error=True))
            conversation += [answer.message, Message("user", results)]
