"""What the evaluator answers to some hundred questions: values, labels, order, notes and errors, compared whole.

test_against_prometheus.py asks a real Prometheus the same questions, so the answers are not only ours.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from support.promql_answers import FILES, answered, data
from support.promqltest import Memory
from tachograph.console.promql import PromQLEngine


@pytest.fixture(scope="module")
def memory() -> Memory:
    return data()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_answers_are_those_that_were_reviewed(path: Path, memory: Memory) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy's, of divisions by zero
        found = answered(path, PromQLEngine(memory))
    assert found == path.read_text("utf-8"), "run `make goldens` and read the difference"
