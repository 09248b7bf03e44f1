"""Doing something right after a module is imported, without importing it ourselves.

The SDKs take up to two seconds to import, and an application may never use one, so nothing of ours imports them: a
finder at the head of `sys.meta_path` finds the module's real spec and lets our function run when its code has run. The
loader, the spec and the module stay the real ones.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib._bootstrap import _lock_unlock_module  # type: ignore[attr-defined]  # no public way to wait for an import
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Hook = Callable[[ModuleType], None]


class _Finder:
    """Finds modules that somebody waits for, with the help of all other finders."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}
        self._busy = threading.local()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.hooks:
            return None
        busy = self._busy.__dict__.setdefault("names", set())
        if name in busy:
            return None
        busy.add(name)
        try:
            for finder in sys.meta_path:
                find = getattr(finder, "find_spec", None)
                if finder is self or find is None:
                    continue
                spec: ModuleSpec | None = find(name, path, target)
                if spec is not None:
                    self._watch(name, spec)
                    return spec
        finally:
            busy.discard(name)
        return None

    def _watch(self, name: str, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: ModuleType) -> None:
            with suppress(AttributeError):  # another thread has unmarked it already
                del loader.exec_module  # the class's own again
            execute(module)
            for hook in self.hooks.get(name, ()):
                hook(module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return  # a loader with slots: the module stays as it is, and doctor says so


_finder = _Finder()


def after_import(name: str, hook: Hook) -> None:
    """Run `hook(module)` once the module is imported; now, if it already is.

    Where another thread is importing it at this moment, it was found before we could be asked: that import is waited
    for. Any that begins later asks our finder.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.hooks.setdefault(name, []).append(hook)
    _lock_unlock_module(name)
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        hook(module)


def forget_all() -> None:
    """Wait for no module any more."""
    _finder.hooks.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
