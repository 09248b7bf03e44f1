"""Fixtures: everything is watched, and what is recorded is caught."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.simulators import simulators, simulators_process  # noqa: F401
from tachograph import instrument, uninstrument
from tachograph.instrument import reaper
from tachograph.testing import Recording, recording


@pytest.fixture
def seen() -> Iterator[Recording]:
    """What is recorded while every client is watched; the simulators are asked for usage in streams."""
    with recording() as caught:
        instrument(include_usage_hosts=["127.0.0.1"])
        try:
            yield caught
        finally:
            reaper.drain()
            uninstrument()
