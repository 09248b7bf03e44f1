"""Runs of agents: `with tachograph.run("refund-agent"): ...` names what a person asked for, over all calls it took.

The run is carried by context: into tasks, threads and executors (`instrument()` sees to threads), by W3C baggage to
other processes, and in `_meta` to MCP servers, which is the same baggage. Each record holds one reference to its run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import Any, Final, TypeVar, cast

from opentelemetry import baggage
from opentelemetry import context as context_api

from tachograph.records.ids import new_id
from tachograph.records.run import RUN, Run, Tally
from tachograph.run_context import BAGGAGE, around
from tachograph.runtime import get_recorder

Function = TypeVar("Function", bound=Callable[..., Any])


class run:
    """One run of an agent: `with run("refund-agent", execution_id="job-7"): ...`, `async with`, or a decorator.

    What is not given is taken from the run around it, except the agent. Every call and tool call made inside carries
    the run to the ledger and to its span; a span `invoke_agent` stands for the run.

    Args:
        agent: The agent's name: a label of metrics, so one of few.
        execution_id: Your own id of the work that this is a part of: a job, a request, a workflow.
        session: The conversation.
        user: For whom. It stays in this process's ledger and spans; baggage does not carry it to other hosts.
        version: Of the application or the agent.
        run_id: An id of a framework's; a new one unless given.
    """

    def __init__(
        self,
        agent: str,
        *,
        execution_id: str = "",
        session: str = "",
        user: str = "",
        version: str = "",
        run_id: str = "",
    ) -> None:
        self._given = (agent, execution_id, session, user, version, run_id)
        self._open: list[_Open] = []

    def __enter__(self) -> Run:
        opened = _Open(*self._given)
        self._open.append(opened)
        return opened.run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.pop().close(error)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Function) -> Function:
        """Make each call of a function, or of a coroutine function, a run."""
        given = self._given

        @functools.wraps(function)
        async def awaited(*args: object, **kwargs: object) -> object:
            async with _again(given):
                return await function(*args, **kwargs)

        @functools.wraps(function)
        def called(*args: object, **kwargs: object) -> object:
            with _again(given):
                return function(*args, **kwargs)

        return cast("Function", awaited if inspect.iscoroutinefunction(function) else called)


def _again(given: tuple[str, ...]) -> run:
    agent, execution_id, session, user, version, run_id = given
    return run(agent, execution_id=execution_id, session=session, user=user, version=version, run_id=run_id)


class _Open:
    """A run under way: what has to be put back and told when it ends."""

    def __init__(self, agent: str, execution_id: str, session: str, user: str, version: str, run_id: str) -> None:
        self._recorder = recorder = get_recorder()
        outer = RUN.get() or around() or _NONE
        self.tally = Tally(outer.tally)
        self.run = Run(
            run_id or new_id().hex(),
            agent,
            execution_id or outer.execution_id,
            session or outer.session_id,
            user or outer.user_id,
            version or outer.app_version,
            outer.id,
            self.tally,
        )
        self._token: Token[Run | None] = RUN.set(self.run)
        self._started_unix_ns, self._started_ns = time_ns(), perf_counter_ns()
        self._span: Any = None
        try:
            self._span = recorder.open_run(self.run, self._started_unix_ns)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            recorder.failed("runs", error)
        context = context_api.get_current()
        for name, value in zip(BAGGAGE.values(), map(self.run.__getattribute__, BAGGAGE), strict=True):
            if value:
                context = baggage.set_baggage(name, value, context)
        self._context = context_api.attach(context)

    def close(self, error: BaseException | None) -> None:
        context_api.detach(self._context)
        try:
            RUN.reset(self._token)
        except ValueError:
            RUN.set(None)  # ended in another context than it began in: what is current there is not ours to know
        seconds = (perf_counter_ns() - self._started_ns) / 1e9
        try:
            self._recorder.close_run(self.run, self._span, seconds, error)
        except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
            self._recorder.failed("runs", failure)


_NONE: Final = Run()
