"""JSON that reads like an SDK's models, and answers in whatever form an application asked for."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any


class LooseObject(SimpleNamespace):
    """JSON as attributes; what is not there is None."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def _loose(fields: dict[str, Any]) -> LooseObject:
    loose = LooseObject()
    loose.__dict__.update(fields)
    return loose


def loads(data: bytes | str) -> object:
    """JSON read into `LooseObject` objects, which the readers take for the SDK's models."""
    return json.loads(data, object_hook=_loose)


def opened(answer: Any) -> Any:
    """An answer as a reader takes it: an HTTP response or a text that holds JSON is opened, anything else is itself.

    Applications ask for those by `client.post(..., cast_to=httpx2.Response)`. A response with events in it gives the
    last, one without JSON None.
    """
    kind = type(answer)
    if kind is str or kind is bytes:
        try:
            return loads(answer)
        except (ValueError, RecursionError):
            return answer
    if kind.__module__.startswith("httpx"):
        try:
            content = answer.content
            return last_event(content) if content[:5] == b"data:" else loads(content)
        except Exception:  # noqa: BLE001 - unread, or sound, or nothing at all: nothing in it to read
            return None
    return answer


def last_event(content: bytes) -> Any:
    """The last event of a stream that was read as a whole."""
    return opened(content[content.rfind(b"data:") + 5 :])
