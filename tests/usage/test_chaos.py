"""The short form of `make chaos`: random faults in one world, replayed from seeds; nothing is lost or doubled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.chaos import World
from support.exhaustive import part


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("seed", part([7, 9], 7))
def test_nothing_is_lost_or_doubled_whatever_happens_around_the_ledger(tmp_path: Path, seed: int) -> None:
    came = World(tmp_path, seed).play(12)
    assert came.is_sound, f"replay: make chaos ARGS='--seed {seed} --steps 12': {came}"
    assert (came.missing, came.refused) == (0, 0), came
    # A kill between a call's end and its note leaves one call that is stored and was not noted.
    assert 100 < came.made <= came.stored <= came.made + came.faults["kill"]
    assert sum(came.faults.values()) == 12
