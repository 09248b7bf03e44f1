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


def of_a_tool_call() -> int:
    subjects = Subjects()
    make = subjects.tool()
    return instructions(lambda: subjects.loop.run_until_complete(make()))


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_watched_call_gets_no_dearer(subjects: Subjects, client: str) -> None:
    assert instructions(subjects.sync(client)) <= 3_100  # the budget is 25 us, about 600: not met yet


@pytest.mark.parametrize(("server_too", "limit"), [(False, 520), (True, 1_250)])
def test_a_watched_tool_call_gets_no_dearer(server_too: bool, limit: int) -> None:
    unwatched = of_a_tool_call()  # generated code of mcp's counts as ours
    with recording(spans={"enabled": False}):
        instrument(mcp_server=server_too)
        try:
            assert of_a_tool_call() - unwatched <= limit
        finally:
            uninstrument()


FEW, MANY = 20, 120


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_chunk_of_a_watched_stream_costs_at_most_twenty_instructions(client: str) -> None:
    unwatched = Subjects()
    before = [instructions(unwatched.stream(client, chunks)) for chunks in (FEW, MANY)]
    with recording(spans={"enabled": False}):
        instrument()
        try:
            watched = Subjects()
            few, many = (instructions(watched.stream(client, chunks)) for chunks in (FEW, MANY))
        finally:
            uninstrument()
    assert ((many - before[1]) - (few - before[0])) / (MANY - FEW) <= 20
