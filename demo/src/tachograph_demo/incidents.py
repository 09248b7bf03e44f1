"""The troubles that the demo can be asked for, each with the alerts that should notice it.

An incident changes what the world outside the application does; the application under watch stays the same.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from .scripted_model import ScriptedModel
from .simulators import AskedRequest, Item, Overloaded, RateLimited, Simulators, Unauthorized
from .simulators.billing import REPORT
from .tool_servers import ToolServers
from .traffic_dial import TrafficDial


@dataclass(frozen=True, slots=True)
class Stage:
    """What an incident can lay hands on."""

    simulators: Simulators
    model: ScriptedModel
    workshop: ToolServers
    dial: TrafficDial


class Incident(ABC):
    """One named trouble, begun and ended once.

    Attributes:
        name: As `--incident` takes it.
        summary: What happens, in one line.
        alerts: Alerts that must fire if it lasts long enough.
        also: Further alerts that are right to fire.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    alerts: ClassVar[tuple[str, ...]]
    also: ClassVar[tuple[str, ...]] = ()

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @abstractmethod
    async def begin(self) -> None:
        """Let the trouble begin."""

    @abstractmethod
    async def end(self) -> None:
        """Put everything right again."""


class _Ruled(Incident):
    """A trouble that is a rule of the simulators."""

    _remove: Callable[[], None] | None = None
    provider: ClassVar[str]

    @abstractmethod
    def rule(self, request: AskedRequest) -> Item | None:
        """What the troubled provider answers."""

    async def begin(self) -> None:
        self._remove = getattr(self.stage.simulators, self.provider).rule(self._for_calls)

    def _for_calls(self, request: AskedRequest) -> Item | None:
        """Calls are in trouble; the vendor's reports of usage and cost are a service of their own."""
        return None if request.operation == REPORT else self.rule(request)

    async def end(self) -> None:
        if self._remove is not None:
            self._remove()
            self._remove = None


class RateLimitStorm(_Ruled):
    name = "rate-limit-storm"
    summary = "OpenAI answers most requests with 429 and a Retry-After of one to four seconds"
    alerts = ("HighProviderErrorRate", "LLMProviderRateLimitSaturation")
    also = (
        "LLMProviderErrorRatioHigh",
        "LLMProviderRateLimitBlocking",
        "LLMCallsFailing",
        "LLMModelDown",
        "LLMProviderDown",
        "LLMProviderErrorBudgetBurn",
    )
    provider = "openai"

    def rule(self, request: AskedRequest) -> Item | None:
        self.stage.model.exhaust("openai")
        luck = random.Random(request.seed).random()
        return RateLimited(retry_after=round(1 + luck * 4, 1)) if luck < 0.75 else None


class ProviderOutage(_Ruled):
    name = "provider-outage"
    summary = "Anthropic answers every request with 529 overloaded"
    alerts = ("HighProviderErrorRate", "LLMProviderDown")
    also = ("LLMProviderErrorRatioHigh", "LLMProviderErrorBudgetBurn", "LLMModelDown", "LLMCallsFailing")
    provider = "anthropic"

    def rule(self, request: AskedRequest) -> Item | None:
        return Overloaded(delay_seconds=0.1)


class BadKey(_Ruled):
    name = "bad-key"
    summary = "OpenAI rejects our API key"
    alerts = ("LLMProviderAuthFailure", "HighProviderErrorRate")
    also = (
        "LLMProviderDown",
        "LLMModelDown",
        "LLMCallsFailing",
        "LLMProviderErrorRatioHigh",
        "LLMProviderErrorBudgetBurn",
    )
    provider = "openai"

    def rule(self, request: AskedRequest) -> Item | None:
        return Unauthorized(delay_seconds=0.05)


class SlowTool(Incident):
    name = "slow-tool"
    summary = "the tool search_orders takes fourteen seconds"
    alerts = ("SlowToolExecution", "MCPToolSlowRatioHigh")
    seconds: ClassVar[float] = 14.0

    async def begin(self) -> None:
        await asyncio.to_thread(self.stage.workshop.behave, "search_orders", slow_seconds=self.seconds)

    async def end(self) -> None:
        await asyncio.to_thread(self.stage.workshop.behave, "search_orders")


class DeadMCPServer(Incident):
    name = "dead-mcp-server"
    summary = "the MCP server 'workshop' is killed and stays away"
    alerts = ("MCPServerDisconnected", "MCPConnectionErrors", "HighMCPToolErrorRate")
    also = ("MCPToolErrorRatioHigh", "MCPServerErrorBudgetBurn", "MCPServerDown", "MCPToolDown")

    async def begin(self) -> None:
        await asyncio.to_thread(self.stage.workshop.crash)

    async def end(self) -> None:
        await asyncio.to_thread(self.stage.workshop.restart)


class CostSpike(Incident):
    name = "cost-spike"
    summary = "a job begins to send whole archives to the most expensive model"
    alerts = ("HighProviderCost",)
    also = ("LLMCostTotalHigh", "LLMBudgetForecast", "LLMCostAnomaly", "LLMTokenSpike", "LLMBudgetSpent")

    async def begin(self) -> None:
        self.stage.dial.archives_per_second = 0.5

    async def end(self) -> None:
        self.stage.dial.archives_per_second = 0.0


INCIDENTS: dict[str, type[Incident]] = {
    incident.name: incident for incident in (RateLimitStorm, ProviderOutage, SlowTool, DeadMCPServer, CostSpike, BadKey)
}
"""Every incident by its name."""
