"""JSON that reads like an SDK's models."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any


class Loose(SimpleNamespace):
    """JSON as attributes; what is not there is None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def _loose(fields: dict[str, Any]) -> Loose:
    loose = Loose()
    loose.__dict__.update(fields)
    return loose


def loads(data: bytes | str) -> Any:
    """JSON read into `Loose` objects, which the readers take for the SDK's models."""
    return json.loads(data, object_hook=_loose)
