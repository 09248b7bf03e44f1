"""Parts shared by the console's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def promqltest_folder() -> Path | None:
    """Return the folder of Prometheus' test scripts: beside the repository, or where the environment says."""
    named = os.environ.get("TACHOGRAPH_PROMQLTEST_DIR")
    folder = Path(named) if named else Path(__file__).parents[2].parent / "shared" / "promqltest"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def promqltest_dir() -> Path:
    folder = promqltest_folder()
    if folder is None:
        pytest.skip("no promqltest scripts: set TACHOGRAPH_PROMQLTEST_DIR to promql/promqltest/testdata of Prometheus")
    return folder
