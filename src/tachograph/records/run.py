"""One run of an agent: what a person asked for, over all the calls that it took."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall
    from tachograph.records.tool_call import ToolCall


class Tally:
    """What the calls of a run, and of the runs inside it, add up to so far."""

    __slots__ = ("_lock", "calls", "cost_nano_usd", "errors", "outer", "tool_calls")

    def __init__(self, outer: Tally | None = None) -> None:
        self.calls = self.tool_calls = self.errors = self.cost_nano_usd = 0
        self.outer = outer
        self._lock = threading.Lock()

    def add(self, record: LLMCall | ToolCall) -> None:
        """Add a finished record, here and in the runs around."""
        is_tool = hasattr(record, "server_id")
        cost = None if is_tool else record.cost  # type: ignore[union-attr]
        nano = cost.nano_usd or 0 if cost is not None and record.counts_usage else 0  # type: ignore[union-attr]
        failed = record.outcome not in ("success", "cancelled")
        tally: Tally | None = self
        while tally is not None:
            with tally._lock:
                tally.tool_calls += is_tool
                tally.calls += not is_tool
                tally.errors += failed
                tally.cost_nano_usd += nano
            tally = tally.outer


class Run(msgspec.Struct, frozen=True):
    """Which run a call belongs to. A record holds one reference to it.

    Attributes:
        id: Of this run; empty where only facts around a run are known (a session, a user).
        agent: The agent's name.
        execution_id: The application's own id of the work that this run is a part of (a job, a request, a workflow).
        session_id: The conversation.
        user_id: For whom.
        app_version: Of the application or the agent.
        parent_id: The run that this one was started in.
        tally: What its calls add up to, where the run is one of this process.
    """

    id: str = ""
    agent: str = ""
    execution_id: str = ""
    session_id: str = ""
    user_id: str = ""
    app_version: str = ""
    parent_id: str = ""
    tally: Tally | None = None


FIELDS: Final = ("execution_id", "run_id", "parent_run_id", "agent", "session_id", "user_id", "app_version")
"""The names that a projection, and the ledger, have for a run's facts."""
_facts: Final = attrgetter("execution_id", "id", "parent_id", "agent", "session_id", "user_id", "app_version")


def facts_of(run: Run) -> tuple[str | None, ...]:
    """What a projection says of a run, in the order of `FIELDS`."""
    return tuple([value or None for value in _facts(run)])


RUN: ContextVar[Run | None] = ContextVar("tachograph_run", default=None)
"""The run that calls made here belong to."""
