"""Fixtures: everything is watched, and what is recorded is caught."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.simulators import simulators, simulators_process  # noqa: F401
from tachograph import instrument, uninstrument
from tachograph.instrument import reaper
from tachograph.testing import Recording, recording


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    """What is recorded while every client is watched; the simulators are asked for usage in streams."""
    monkeypatch.setenv("TACHOGRAPH_INSTRUMENT_INCLUDE_USAGE_HOSTS", "127.0.0.1")
    with recording() as caught:
        instrument()
        try:
            yield caught
        finally:
            reaper.drain()
            uninstrument()
