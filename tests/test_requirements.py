"""tests/requirements.py names what is there, and says of the rest that it is not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import requirements
from support import contract

TESTS = Path(__file__).parent


@pytest.mark.parametrize("promise", requirements.PROMISES, ids=lambda promise: promise.what)
def test_a_promise_has_tests_that_exist_or_is_a_known_gap(promise: requirements.Promise) -> None:
    assert bool(promise.tests) != (promise.what in requirements.GAPS), "shown by tests, or a gap, and not both"
    for name in promise.tests:
        file, _, function = name.partition("::")
        tree = ast.parse((TESTS / file).read_text("utf-8"))
        there = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        assert function in there, name


def test_every_family_of_the_contract_has_tests_of_its_numbers() -> None:
    assert requirements.FAMILIES.keys() == contract.FAMILIES.keys()
    assert all(requirements.FAMILIES.values())


def test_no_gap_is_without_its_promise() -> None:
    assert requirements.GAPS.keys() <= {promise.what for promise in requirements.PROMISES}
