"""The fixture `seen`, what is recorded during a test: `from support.recording import seen` in a conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tachograph.testing import Recording, recording


@pytest.fixture
def seen() -> Iterator[Recording]:
    """Everything recorded during the test, with our own failures raised."""
    with recording() as caught:
        yield caught
