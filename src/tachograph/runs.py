"""Runs of agents: `with tachograph.run("refund-agent"): ...` names what a person asked for, over all calls it took.

The run is carried by context: into tasks, threads and executors (`instrument()` sees to threads), by W3C baggage to
other processes, and in `_meta` to MCP servers, which is the same baggage. Each record holds one reference to its run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import Any, Final, TypeVar, cast

from opentelemetry import baggage, trace
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
        given = (agent, execution_id, session, user, version, run_id)
        self._given = tuple("" if value is None else str(value) for value in given)  # ids are numbers or UUIDs, too
        self._open: dict[int, _Open] = {}

    def __enter__(self) -> Run:
        opened = _Open(*self._given)
        self._open[id(opened.run)] = opened
        return opened.run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened = self._open.pop(id(RUN.get()), None)  # threads and tasks may share this object
        if opened is None:  # ended in another context than it began in
            _, opened = self._open.popitem()
        opened.close(error)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Function) -> Function:
        """Make each call of a function, or of a coroutine function, a run; of a generator function, each iteration.

        What reads the generator is not inside the run.
        """
        given = self._given
        if inspect.isgeneratorfunction(function):
            return cast("Function", _generator(function, given))
        if inspect.isasyncgenfunction(function):
            return cast("Function", _async_generator(function, given))

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


def _generator(function: Callable[..., Any], given: tuple[str, ...]) -> Callable[..., Any]:
    @functools.wraps(function)
    def generated(*args: object, **kwargs: object) -> Generator[object, object, object]:
        generator = function(*args, **kwargs)
        opened, error = _Open(*given), None
        step, value = generator.send, None
        try:
            while True:
                try:
                    item = step(value)
                except StopIteration as stop:
                    return stop.value
                finally:
                    opened.leave()
                try:
                    value, step = (yield item), generator.send
                except BaseException as thrown:  # noqa: BLE001 - it is thrown into the function's own generator
                    value, step = thrown, generator.throw
                opened.enter()
        except BaseException as failure:
            error = failure
            raise
        finally:
            opened.end(error)

    return generated


def _async_generator(function: Callable[..., Any], given: tuple[str, ...]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def generated(*args: object, **kwargs: object) -> AsyncGenerator[object, object]:
        generator = function(*args, **kwargs)
        opened, error = _Open(*given), None
        step, value = generator.asend, None
        try:
            while True:
                try:
                    item = await step(value)
                except StopAsyncIteration:
                    return
                finally:
                    opened.leave()
                try:
                    value, step = (yield item), generator.asend
                except BaseException as thrown:  # noqa: BLE001 - it is thrown into the function's own generator
                    value, step = thrown, generator.athrow
                opened.enter()
        except BaseException as failure:
            error = failure
            raise
        finally:
            opened.end(error)

    return generated


class _Open:
    """A run under way: what is current inside it, and what has to be reported when it ends."""

    def __init__(self, agent: str, execution_id: str, session: str, user: str, version: str, run_id: str) -> None:
        self._recorder = recorder = get_recorder()
        outer = RUN.get() or around() or _NONE
        self.run = Run(
            run_id or new_id().hex(),
            agent,
            execution_id or outer.execution_id,
            session or outer.session_id,
            user or outer.user_id,
            version or outer.app_version,
            outer.id,
            Tally(outer.tally),
        )
        started_unix_ns, self._started_ns = time_ns(), perf_counter_ns()
        self._span: Any = None
        self._context = context_api.get_current()
        try:
            self._span = recorder.open_run(self.run, started_unix_ns)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            recorder.failed("runs", error)
        if self._span is not None:
            self._context = trace.set_span_in_context(self._span, self._context)
        for name, value in zip(BAGGAGE.values(), map(self.run.__getattribute__, BAGGAGE), strict=True):
            if value:
                self._context = baggage.set_baggage(name, value, self._context)
        self.enter()

    def enter(self) -> None:
        """What is called here from now on belongs to the run."""
        self._token, self._attached = RUN.set(self.run), context_api.attach(self._context)

    def leave(self) -> None:
        """It does no more."""
        try:
            RUN.reset(self._token)
        except ValueError:  # in another context than it was entered in: what is current there is not ours to change
            if RUN.get() is self.run:
                RUN.set(None)
        else:
            context_api.detach(self._attached)

    def close(self, error: BaseException | None) -> None:
        """The run ends where it was entered."""
        self.leave()
        self.end(error)

    def end(self, error: BaseException | None) -> None:
        """The run has ended, by this exception if there is one."""
        seconds = (perf_counter_ns() - self._started_ns) / 1e9
        try:
            self._recorder.close_run(self.run, self._span, seconds, error)
        except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
            self._recorder.failed("runs", failure)


_NONE: Final = Run()
