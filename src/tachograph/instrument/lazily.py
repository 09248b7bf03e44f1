"""Generators that are made of others, with a context variable set only while the next item is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any


def within(variable: ContextVar[Any], value: Any, chunks: Any) -> Iterator[Any]:
    """A generator's items; the variable is as before while the application has one in hand."""
    try:
        while True:
            before = variable.get()
            variable.set(value)
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            finally:
                variable.set(before)  # not reset(): a generator may be closed in another context
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


async def within_async(variable: ContextVar[Any], value: Any, chunks: Any) -> AsyncIterator[Any]:
    """The same for async generators."""
    iterator = aiter(chunks)
    try:
        while True:
            before = variable.get()
            variable.set(value)
            try:
                chunk = await anext(iterator)
            except StopAsyncIteration:
                return
            finally:
                variable.set(before)
            yield chunk
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
