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
from typing import Any, Final

from tachograph.tape.guard import generate

Hook = Callable[[ModuleType], None]


_FIND_SPEC: Final = """
    def find_spec(self, name, path=None, target=None):
        spec = None
        if name in self.hooks:
            guard pass: spec = self.find(name, path, target)
        return spec
"""

_EXEC_MODULE: Final = """
    def make(finder, name, loader, execute):
        def exec_module(module):
            guard pass: finder.unmark(loader)
            execute(module)
            for hook in finder.hooks.get(name, ()):
                run(hook, module)
        return exec_module
"""

_RUN: Final = """
    def run(hook, module):
        guard pass: hook(module)
"""
_run: Final = generate(_RUN, "run")
_exec_module: Final = generate(_EXEC_MODULE, "make", run=_run)


class _Finder:
    """Finds modules that a hook waits for, with the help of all other finders."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}
        self._busy = threading.local()

    find_spec = generate(_FIND_SPEC, "find_spec")  # a failure of ours fails no import

    def find(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """The spec that another finder has for a module; its hooks run after its code."""
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
        if execute is not None:
            with suppress(AttributeError):  # a loader with slots: the module stays as it is, and doctor says so
                loader.exec_module = _exec_module(self, name, loader, execute)

    def unmark(self, loader: Any) -> None:
        """Give a loader the method of its class back."""
        with suppress(AttributeError):  # another thread has unmarked it already
            del loader.exec_module


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
        _run(hook, module)


def forget_all() -> None:
    """Wait for no module any more."""
    _finder.hooks.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
