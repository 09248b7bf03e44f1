"""Modules that have moved: their old names work for one release, with a warning that says the new one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_of(old: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for a module that has moved.

    Args:
        old: The module's name.
        homes: The module in which each of its names is now.
    """

    def __getattr__(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        text = f"{old} has moved and goes away with the next release: import {name} from {home}"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return getattr(import_module(home), name)

    return __getattr__
