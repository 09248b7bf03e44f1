"""Fixtures of the LLM side's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.simulators import simulators, simulators_process
from support.ways import STREAMS, WAYS, Way
from tachograph.testing import Recording, recording

__all__ = ["simulators", "simulators_process"]


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    found = request.param
    assert isinstance(found, Way)
    return found


@pytest.fixture(params=STREAMS, ids=str)
def stream_way(request: pytest.FixtureRequest) -> Way:
    found = request.param
    assert isinstance(found, Way)
    return found


@pytest.fixture
def seen() -> Iterator[Recording]:
    """What is recorded during the test."""
    with recording() as caught:
        yield caught
