"""Sets that are exhaustive by nature: `make test` takes a fixed part of each, `make exhaustive` the rest, CI both."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def part(values: Iterable[object], *kept: object) -> list[object]:
    """Parameters of a test: `kept` are the part that `make test` takes."""
    assert kept
    wanted = list(values)
    assert all(value in wanted for value in kept)
    return [value if value in kept else pytest.param(value, marks=pytest.mark.exhaustive) for value in wanted]
