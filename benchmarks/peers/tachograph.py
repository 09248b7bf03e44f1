"""Tachograph: metrics and ledger on, spans off."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.ours import start_with


def start(emitted: Any) -> None:
    start_with(emitted, ledger=True, spans=False)
