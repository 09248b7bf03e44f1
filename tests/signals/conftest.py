"""Parts of the signals' tests."""

from __future__ import annotations

import pytest

from support.recording import seen

__all__ = ["seen"]


@pytest.fixture(autouse=True)
def without_a_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests configure the process, and worker processes read the environment: none keeps a ledger."""
    monkeypatch.setenv("TACHOGRAPH_LEDGER_ENABLED", "false")
