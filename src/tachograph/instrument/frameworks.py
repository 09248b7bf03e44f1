"""Runs of agent frameworks: each keeps the ids of what is running in a context variable of its own, which is read here.

Nothing is patched. A reader is made when the framework's module is imported, and asked at each call outside a
`tachograph.run`; an application without these frameworks runs none of this. Google ADK keeps its ids on its spans,
where `run_context` finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tachograph import run_context
from tachograph.instrument import imports

Told = dict[str, Any]
"""Fields of `records.Run`."""
_LEVELS: Final = 6
"""How many spans of the OpenAI Agents SDK are looked through for the agent's."""


def install() -> None:
    """Ask each framework from the moment that it is imported."""
    for name, make in _READERS.items():
        imports.after_import(name, partial(_add, name, make))


def _add(name: str, make: Callable[[Any], Callable[[], Told]], module: object) -> None:
    run_context.add_source(name.partition(".")[0], make(module))


def _langgraph(module: Any) -> Callable[[], Told]:
    """LangChain's configuration of the runnable that runs here; LangGraph puts its thread and its node there."""
    variable = module.var_child_runnable_config

    def read() -> Told:
        config = variable.get()
        if not config:
            return {}
        metadata, configurable = config.get("metadata") or {}, config.get("configurable") or {}
        info = getattr(configurable.get("__pregel_runtime"), "execution_info", None)
        return {
            "id": config.get("run_id") or getattr(info, "run_id", None) or metadata.get("run_id"),
            "session_id": configurable.get("thread_id") or metadata.get("thread_id"),
            "user_id": configurable.get("user_id") or metadata.get("user_id"),
            "agent": metadata.get("lc_agent_name") or metadata.get("graph_id") or metadata.get("langgraph_node"),
        }

    return read


def _openai_agents(module: Any) -> Callable[[], Told]:
    """The trace of the OpenAI Agents SDK, its group, and the agent whose span is around."""
    scope = module.Scope

    def read() -> Told:
        trace = scope.get_current_trace()
        if trace is None or trace.trace_id == "no-op":
            return {}
        span, agent = scope.get_current_span(), None
        for _ in range(_LEVELS):
            data = getattr(span, "span_data", None)
            if data is None:
                break
            if data.type == "agent":
                agent = data.name
                break
            span = getattr(getattr(span, "_prev_span_token", None), "old_value", None)
        return {"id": trace.trace_id, "session_id": getattr(trace, "group_id", None), "agent": agent or trace.name}

    return read


def _pydantic_ai(module: Any) -> Callable[[], Told]:
    """The run context of PydanticAI."""
    current = module.get_current_run_context

    def read() -> Told:
        context = current()
        if context is None:
            return {}
        return {
            "id": getattr(context, "run_id", None),
            "session_id": getattr(context, "conversation_id", None),
            "agent": getattr(getattr(context, "agent", None), "name", None),
        }

    return read


def _crewai(module: Any) -> Callable[[], Told]:
    """The execution of a crew or a flow."""
    current = module.get_execution_uuid
    return lambda: {"id": current()}


_READERS: Final[dict[str, Callable[[Any], Callable[[], Told]]]] = {
    "langchain_core.runnables.config": _langgraph,
    "agents.tracing.scope": _openai_agents,
    "pydantic_ai._run_context": _pydantic_ai,
    "crewai.execution": _crewai,
}
