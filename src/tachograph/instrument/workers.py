"""Workers that `multiprocessing` makes without forking: watched from their start, like the process that made them.

A spawned worker begins with `python -c "from multiprocessing.spawn import spawn_main; ..."`: one import of ours is put
before that. A fork server imports it once, before it forks.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.tape.guard import generate

BOOT = "tachograph.instrument.boot"


def install() -> None:
    """Cover `multiprocessing`, now or once it is imported."""
    after_import("multiprocessing.spawn", _cover_spawn)
    after_import("multiprocessing.forkserver", _preload)


def _cover_spawn(module: ModuleType) -> None:
    patch(module, "get_command_line", _line)


_LINE: Final = """
    def get_command_line(**keywords):
        line = original(**keywords)
        guard pass: watch(line)
        return line
"""


def _line(original: object) -> Any:
    return generate(_LINE, "get_command_line", original=original, watch=_watch)


def _watch(line: list[str]) -> None:
    if SWITCH.on and "-c" in line:
        where = line.index("-c") + 1
        line[where] = f"import {BOOT}; {line[where]}"


def _preload(module: ModuleType) -> None:
    server = module._forkserver
    chosen = list(getattr(server, "_preload_modules", None) or ["__main__"])
    if BOOT not in chosen:
        server.set_forkserver_preload([*chosen, BOOT])
