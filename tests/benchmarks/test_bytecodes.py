"""What a watched call of a real client costs in bytecode instructions of ours: the gate of the cost benchmark.

The benchmark measures microseconds, for people; instructions are the same in every run, so they are what a test holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def counted() -> dict[str, float]:
    """The instructions of each call, counted in a fresh process."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("src", "tests", "."))
    done = subprocess.run(
        [sys.executable, "-m", "support.client_bytecodes"],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("client", "limit"), [("openai", 507), ("anthropic", 563), ("gemini", 578)])
def test_a_watched_call_costs_its_caller_no_more_than_today(counted: dict[str, float], client: str, limit: int) -> None:
    assert counted[client] <= limit  # in the application's thread; the drain's share is not counted here


@pytest.mark.parametrize(("client", "limit"), [("openai", 2_160), ("anthropic", 2_005), ("gemini", 2_095)])
def test_the_drain_delivers_a_call_for_no_more_than_today(counted: dict[str, float], client: str, limit: int) -> None:
    assert counted[f"{client}, delivered"] <= limit  # with metrics and ledger, in batches of sixteen


@pytest.mark.parametrize(("call", "limit"), [("tool", 618), ("tool, and its server", 1_325)])
def test_a_watched_tool_call_costs_its_caller_no_more_than_today(
    counted: dict[str, float], call: str, limit: int
) -> None:
    assert counted[call] <= limit


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_chunk_of_a_watched_stream_costs_at_most_twenty_instructions(counted: dict[str, float], client: str) -> None:
    assert counted[f"{client}, a chunk"] <= 20


def test_a_chunk_of_a_gemini_stream_costs_hardly_more(counted: dict[str, float]) -> None:
    assert counted["gemini, a chunk"] <= 28  # it passes two generators of ours: one for all requests, one for each
