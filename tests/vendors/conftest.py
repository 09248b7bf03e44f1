"""Fixtures: the vendors' simulators, and what is recorded while every client is watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.simulators import simulators, simulators_process
from tachograph import instrument, uninstrument
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording

__all__ = ["seen", "simulators", "simulators_process"]


@pytest.fixture
def seen() -> Iterator[Recording]:
    with recording() as caught:
        instrument()
        try:
            yield caught
        finally:
            TAPE.drain()
            uninstrument()
