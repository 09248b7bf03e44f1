"""Parts shared by the console's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.console_client import Client
from support.parts import shared_folder
from tachograph.console import RunningConsole, start
from tachograph.recorder import Recorder
from tachograph.runtime import join
from tachograph.signals.registry import Metrics


@pytest.fixture(scope="session")
def promqltest_dir() -> Path:
    """The folder of Prometheus' test scripts."""
    return shared_folder("promqltest", "TACHOGRAPH_PROMQLTEST_DIR")


@pytest.fixture
def recorder() -> Recorder:
    """A recorder of its own, which raises its own failures."""
    return join(Metrics(()), strict=True)


@pytest.fixture
def running(recorder: Recorder) -> Iterator[RunningConsole]:
    """A served console that watches the recorder; its clock is slow, tests call `console.tick` themselves."""
    with start(port=0, recorder=recorder, step_seconds=300) as served:
        yield served


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    """Asks a console that a module's tests share: for what changes nothing in it."""
    with start(port=0, recorder=join(Metrics(()), strict=True), step_seconds=300) as served:
        yield Client(served.url, served.token)


@pytest.fixture
def client(running: RunningConsole) -> Client:
    """Asks the served console with its token."""
    return Client(running.url, running.token)
