"""Fixtures of the LLM side's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.exhaustive import part
from support.simulators import simulators, simulators_process
from support.ways import STREAMS, WAYS, Way
from tachograph.testing import Recording, recording

__all__ = ["simulators", "simulators_process"]


ALTERNATE = [way for i, way in enumerate(STREAMS) if i % 4 in (0, 3)]
"""Each API's stream once, by turns sync and async."""


@pytest.fixture(params=part(WAYS, *(way for way in WAYS if way.is_async == way.is_stream)), ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    found = request.param
    assert isinstance(found, Way)
    return found


@pytest.fixture(params=part(STREAMS, *ALTERNATE), ids=str)
def stream_way(request: pytest.FixtureRequest) -> Way:
    found = request.param
    assert isinstance(found, Way)
    return found


@pytest.fixture
def seen() -> Iterator[Recording]:
    """What is recorded during the test."""
    with recording() as caught:
        yield caught
