"""What a watched call of a real client costs in bytecode instructions of ours: the gate of the cost benchmark.

The benchmark measures microseconds, for people; instructions are the same in every run, so they are what a test holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from benchmarks.overhead.subjects import Subjects

from support.bytecodes import count
from tachograph import instrument, uninstrument
from tachograph.testing import recording


@pytest.fixture
def subjects() -> Iterator[Subjects]:
    """The benchmark's clients, watched: metrics and prices on, spans off."""
    with recording(spans={"enabled": False}):
        instrument()
        try:
            yield Subjects()
        finally:
            uninstrument()


def instructions(run: Callable[[], object]) -> int:
    for _ in range(3):
        run()
    return min(count(run) for _ in range(3))


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_watched_call_gets_no_dearer(subjects: Subjects, client: str) -> None:
    assert instructions(subjects.sync(client)) <= 3_100  # the budget is 25 us, about 600: not met yet
