"""One run of an agent: what a person asked for, over all the calls that it took."""

from __future__ import annotations

from contextvars import ContextVar
from operator import attrgetter
from typing import Final

import msgspec


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
    """

    id: str = ""
    agent: str = ""
    execution_id: str = ""
    session_id: str = ""
    user_id: str = ""
    app_version: str = ""
    parent_id: str = ""


FIELDS: Final = ("execution_id", "run_id", "parent_run_id", "agent", "session_id", "user_id", "app_version")
"""The names that a projection, and the ledger, have for a run's facts."""
_facts: Final = attrgetter("execution_id", "id", "parent_id", "agent", "session_id", "user_id", "app_version")


def facts_of(run: Run) -> tuple[str | None, ...]:
    """What a projection says of a run, in the order of `FIELDS`."""
    return tuple([value or None for value in _facts(run)])


RUN: ContextVar[Run | None] = ContextVar("tachograph_run", default=None)
"""The run that calls made here belong to."""
