"""Fixtures: everything is watched, and what is recorded is caught."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from support.simulators import simulators, simulators_process  # noqa: F401
from tachograph import instrument, uninstrument
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording

# What is about mcp 1.x runs where that is installed: `make versions`.
collect_ignore = [] if version("mcp").startswith("1.") else ["test_mcp_1.py"]


@pytest.fixture
def seen() -> Iterator[Recording]:
    """What is recorded while every client is watched; the simulators are asked for usage in streams."""
    with recording() as caught:
        instrument(include_usage_hosts=["127.0.0.1"])
        try:
            yield caught
        finally:
            TAPE.drain()
            uninstrument()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*packages): runs where these other people's packages are installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, rather than skip, what is about frameworks that are not installed; `make versions` has them all.

    A skipped test fails where everything is required, and these are required in an environment of their own.
    """
    absent = [item for item in items for mark in item.iter_markers("needs") if not all(map(_is_installed, mark.args))]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is not there
        return False
