"""What the code around a call has said: the user's labels, and whether our engine is at work here.

ContextVars follow tasks; `copy_context` carries them into threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall

LABELS: ContextVar[Mapping[str, str] | None] = ContextVar("tachograph_labels", default=None)
"""The user's labels for calls made here; never mutated, replaced by `labels()`."""

ENGINE_CALL: ContextVar[LLMCall | None] = ContextVar("tachograph_engine_call", default=None)
"""Set by our engine around its use of an SDK: the engine fills this record, attempts included, by itself.

A watched SDK that finds it set passes straight through: it opens no second call and reports no attempt.
"""

ENGINE_MCP: ContextVar[bool] = ContextVar("tachograph_engine_mcp", default=False)
"""Set by our engine around all its use of the MCP SDK (connections, listings, tool calls), so that a watched SDK counts
none of it a second time."""


@contextmanager
def labels(**values: str) -> Iterator[None]:
    """Label every call made inside: `with labels(team="search", feature="summary"): ...`.

    Inner labels add to outer ones and win over them. They go to the ledger and to spans, and to metrics only for the
    keys that the setting `metrics.labels` names.
    """
    token = LABELS.set({**(LABELS.get() or {}), **{key: str(value) for key, value in values.items()}})
    try:
        yield
    finally:
        LABELS.reset(token)
