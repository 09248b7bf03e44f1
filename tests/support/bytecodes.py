"""Counts the bytecode instructions that a piece of code runs: the same in every run, whatever else the machine does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.overhead import bytecodes


def count(run: Callable[[], Any], package: str = "tachograph") -> int:
    """Instructions run inside files of `package` while `run` runs, in this thread; warm it up before."""
    mark = f"/{package}/"
    generated = ("<string", "<tachograph guard")
    return bytecodes.count(run, lambda code: mark in code.co_filename or code.co_filename.startswith(generated))
