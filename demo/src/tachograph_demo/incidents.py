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
from .simulators import (
    Answer,
    AskedRequest,
    Item,
    Overloaded,
    RateLimited,
    Simulators,
    StreamError,
    ToolCall,
    Unauthorized,
)
from .simulators.billing import REPORT
from .tool_servers import ToolServers
from .traffic_dial import TrafficDial

REPORTS_PER_SECOND = 0.2
REQUESTS_PER_SECOND = 0.1
SUMMARIES_PER_SECOND = 0.2


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


class BrokenStreams(_Ruled):
    name = "broken-streams"
    summary = "Anthropic breaks off the streams of reports after a few words, and bills what it has read"
    alerts = ("LLMWasteHigh", "HighProviderErrorRate")
    also = (
        "LLMProviderErrorRatioHigh",
        "LLMProviderErrorBudgetBurn",
        "LLMCallsFailing",
        "LLMModelDown",
        "LLMBudgetForecast",
        "LLMCostAnomaly",
    )
    provider = "anthropic"

    async def begin(self) -> None:
        await super().begin()
        self.stage.dial.reports_per_second = REPORTS_PER_SECOND

    def rule(self, request: AskedRequest) -> Item | None:
        breaks = Answer(ending=StreamError(kind="overloaded"), cut_after=2, pieces=8)
        return breaks if _is_report(request) and not _is_in_brief(request) else None

    async def end(self) -> None:
        self.stage.dial.reports_per_second = 0.0
        await super().end()


class HangUps(_Ruled):
    name = "hang-ups"
    summary = "the streams of Anthropic's reports stop after a few words, and their readers close the page"
    alerts = ("LLMWasteHigh",)
    also = ("LLMBudgetForecast", "LLMCostAnomaly", "LLMCallStuck")
    provider = "anthropic"

    async def begin(self) -> None:
        await super().begin()
        self.stage.dial.report_pieces = 2
        self.stage.dial.reports_per_second = REPORTS_PER_SECOND

    def rule(self, request: AskedRequest) -> Item | None:
        return Answer(ending="hang", cut_after=3, pieces=8) if _is_in_brief(request) else None

    async def end(self) -> None:
        # The rule stays: a report that is on its way yet must end as the others did.
        self.stage.dial.reports_per_second, self.stage.dial.report_pieces = 0.0, None


class RepeatedQuestions(Incident):
    name = "repeated-questions"
    summary = "a front end asks everything again once it has been answered"
    alerts = ("LLMWasteHigh",)
    also = ("LLMBudgetForecast", "LLMCostAnomaly", "LLMTokenSpike")

    async def begin(self) -> None:
        self.stage.dial.asks_again = True

    async def end(self) -> None:
        self.stage.dial.asks_again = False


class LostCache(Incident):
    name = "lost-cache"
    summary = "the providers find nothing again that they had cached"
    alerts = ("LLMWasteHigh",)
    also = ("LLMBudgetForecast", "LLMCostAnomaly")

    async def begin(self) -> None:
        self._lose(True)
        self.stage.dial.summaries_per_second = SUMMARIES_PER_SECOND

    async def end(self) -> None:
        self.stage.dial.summaries_per_second = 0.0
        self._lose(False)

    def _lose(self, loses: bool) -> None:
        for vendor in self.stage.simulators.vendors:
            vendor.loses_cache = loses


class AgentLoop(_Ruled):
    name = "agent-loop"
    summary = "agents with the most expensive model ask for the same stock level until their steps are used up"
    alerts = ("LLMWasteHigh",)
    also = ("LLMBudgetForecast", "LLMCostAnomaly", "LLMTokenSpike")
    provider = "anthropic"

    async def begin(self) -> None:
        await super().begin()
        self.stage.dial.requests_per_second = REQUESTS_PER_SECOND

    def rule(self, request: AskedRequest) -> Item | None:
        name = next((name for name in sorted(request.tools) if name.endswith("stock_level")), None)
        if name is None:
            return None
        call = ToolCall(name, {"article": "lamp"}, id=f"call_{request.seed:016x}")
        return Answer(text="", tool_calls=(call,), delay_seconds=0.05)

    async def end(self) -> None:
        self.stage.dial.requests_per_second = 0.0
        await super().end()


def _is_report(request: AskedRequest) -> bool:
    return request.is_stream and "Report " in str(request.body["messages"][0])


def _is_in_brief(request: AskedRequest) -> bool:
    return _is_report(request) and "in brief" in str(request.body["messages"][0])


INCIDENTS: dict[str, type[Incident]] = {
    incident.name: incident
    for incident in (
        RateLimitStorm,
        ProviderOutage,
        SlowTool,
        DeadMCPServer,
        CostSpike,
        BadKey,
        BrokenStreams,
        HangUps,
        RepeatedQuestions,
        LostCache,
        AgentLoop,
    )
}
"""Every incident by its name."""
