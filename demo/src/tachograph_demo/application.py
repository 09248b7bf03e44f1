"""The application under watch: a shop's assistants, built on our engine as a user would build them.

It uses no simulator, incident or view; it gets addresses and does its jobs.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tachograph.errors import TachographError
from tachograph.llm import Completed, Message, Provider, ProviderFactory, TextDelta
from tachograph.recorder import Recorder
from tachograph.records import labels
from tachograph.runs import run

from .jobs import AGENTS, FAQ_CALLS, USERS, VERSION, Job

if TYPE_CHECKING:
    from tachograph.mcp import MCPClient, MCPTool

logger = logging.getLogger("tachograph_demo")

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
DEADLINE_SECONDS = 120.0
"""Of a whole call. Long: one that is cut off on a busy machine may have been served whole, and books would differ."""
_STEPS_AT_MOST = 6
_IMPORT_ORDER = ("gemini", "openai", "anthropic")
"""The SDKs that load fastest first, so that the first calls come soon."""


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
        self._provider_ready = {name: asyncio.Event() for name in addresses}
        self._client: MCPClient | None = None
        self._tools: list[MCPTool] = []
        self._tools_ready = asyncio.Event()

    async def connect_providers(self, note: Callable[[str], None]) -> None:
        """Make a provider for each address. Each may be used as soon as it is there: importing an SDK takes a while."""
        for name in sorted(self._addresses, key=_IMPORT_ORDER.index):
            self._providers[name] = await asyncio.to_thread(
                ProviderFactory.create,
                name,
                base_url=self._addresses[name],
                api_key="demo-key",
                recorder=self._recorder,
            )
            self._provider_ready[name].set()
            note(f"{name} connected")

    async def _provider(self, name: str) -> Provider:
        await self._provider_ready[name].wait()
        return self._providers[name]

    async def connect_tools(self, servers: Mapping[str, Any]) -> None:
        """Connect to the MCP servers and load their tools; agents wait for this.

        Args:
            servers: An `mcpServers` configuration.
        """
        await asyncio.to_thread(import_module, "tachograph.mcp.client")  # with the MCP SDK, which takes its time
        from tachograph.mcp import ConnectionOptions, MCPClient, ToolExecutor, ToolFactory, ToolRegistry

        options = ConnectionOptions(errlog=subprocess.DEVNULL, backoff_longest=2.0)
        client = self._client = MCPClient(servers, recorder=self._recorder, options=options)
        await client.open()
        factory = ToolFactory(ToolExecutor(ToolRegistry(client), timeout=TOOL_TIMEOUT_SECONDS))
        self._tools = [tool for tool in await factory.create_all() if tool.entry.name in TOOLS]
        self._tools_ready.set()

    async def close(self) -> None:
        """Close every connection, the MCP servers' child processes included."""
        if self._client is not None:
            await self._client.close()
        for provider in self._providers.values():
            await provider.aclose()

    async def do(self, job: Job) -> None:
        """Do one job. What goes wrong is the job's loss; the record of it is what the demo is about."""
        person = f"{job.team}-{job.number % USERS}"
        with (
            labels(team=job.team, feature=job.kind),
            run(AGENTS[job.kind], execution_id=f"job-{job.number}", session=person, user=person, version=VERSION),
        ):
            try:
                if job.kind == "agent":
                    await self._agent(job)
                elif job.kind == "faq":
                    await asyncio.gather(*(self._converse(job) for _ in range(FAQ_CALLS)))
                else:
                    await self._converse(job)
            except TachographError as error:
                logger.debug("job %d failed: %s", job.number, error)

    async def _converse(self, job: Job) -> None:
        provider = await self._provider(job.model.provider)
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
                "max_tokens": job.max_tokens,
            }
            if job.kind in ("stream", "report"):
                async with provider.astream(**request) as stream:
                    read = 0
                    async for event in stream:
                        if isinstance(event, Completed):
                            conversation.append(event.response.message)
                        read += isinstance(event, TextDelta)
                        if read == job.pieces:
                            break  # the reader has closed the page
            else:
                conversation.append((await provider.acomplete(**request)).message)

    async def _agent(self, job: Job) -> None:
        """Let the model use tools until it answers."""
        from tachograph.mcp.agent import Agent

        await self._tools_ready.wait()
        provider = await self._provider(job.model.provider)
        agent = Agent(
            provider,
            self._tools,
            model=job.model.name,
            name="back-office",
            max_steps=_STEPS_AT_MOST,
            system=job.system,
            deadline=DEADLINE_SECONDS,
        )
        await agent.run(job.turns[0])
