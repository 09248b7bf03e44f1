"""Generators that are made of others, with a context variable set only while the next item is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

Scope = Callable[[bool], None]
"""Told True before the next item is made, and False after."""


def within(variable: ContextVar[Any], value: Any, chunks: Any, scope: Scope | None = None) -> Iterator[Any]:
    """A generator's items; the variable is as before while the application has one in hand."""
    try:
        while True:
            before = variable.get()
            variable.set(value)
            if scope is not None:
                scope(True)
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            finally:
                variable.set(before)  # not reset(): a generator may be closed in another context
                if scope is not None:
                    scope(False)
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


async def within_async(
    variable: ContextVar[Any], value: Any, chunks: Any, scope: Scope | None = None
) -> AsyncIterator[Any]:
    """The same for async generators."""
    iterator = aiter(chunks)
    try:
        while True:
            before = variable.get()
            variable.set(value)
            if scope is not None:
                scope(True)
            try:
                chunk = await anext(iterator)
            except StopAsyncIteration:
                return
            finally:
                variable.set(before)
                if scope is not None:
                    scope(False)
            yield chunk
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
