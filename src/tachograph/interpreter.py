"""Which interpreters Tachograph runs in: the main one of a process, in a build with the interpreter lock.

Imported before all else, and without anything of ours, so that nothing is loaded where it would do harm.
"""

from __future__ import annotations

import importlib
import logging
import sys

logger = logging.getLogger("tachograph")


class UnsupportedInterpreterError(ImportError):
    """Tachograph is imported where it would end the process."""


def check() -> None:
    """Refuse a subinterpreter, and say that a build without the interpreter lock is not tested.

    msgspec keeps state in C for the whole process: loaded in a second interpreter, it ended the process with SIGSEGV
    or SIGABRT (Python 3.11.7 and 3.12.1, msgspec 0.20, 2026-11-27); Python 3.13 refuses to load it there.

    Raises:
        UnsupportedInterpreterError: This is not the process's main interpreter.
    """
    if not _is_main():
        raise UnsupportedInterpreterError(
            "tachograph does not run in a subinterpreter. Import it in the main interpreter. "
            "With mod_wsgi, set WSGIApplicationGroup %{GLOBAL}."
        )
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        logger.warning("tachograph: this Python runs without the interpreter lock, which tachograph is not tested with")


def _is_main() -> bool:
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    try:
        interpreters = importlib.import_module(name)
    except ImportError:  # another implementation, which has none
        return True
    current, main = interpreters.get_current(), interpreters.get_main()
    if isinstance(current, tuple):
        return bool(current[0] == main[0])
    return bool(current == main)


check()
