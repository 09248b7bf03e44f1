"""Watches this Python process, if tachograph is installed for it; then hands over to the sitecustomize there was.

Put on PYTHONPATH by `tachograph run` for commands that are no Python program of its own environment. Where tachograph
is not installed only the command itself says so: its output is the user's, that of its children other programs' input.
"""

import importlib.machinery
import importlib.util
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))

try:
    import tachograph.instrument.boot  # noqa: F401
except Exception:  # noqa: BLE001 - an interpreter too old for it, too
    if os.environ.get("TACHOGRAPH_RUN_PID") == str(os.getpid()):
        sys.stderr.write("tachograph: not installed for %s, which runs unwatched\n" % sys.executable)  # noqa: UP031 - any Python

_rest = [path for path in sys.path if os.path.abspath(path or ".") != _here]
_spec = importlib.machinery.PathFinder.find_spec("sitecustomize", _rest)
if _spec is not None and _spec.loader is not None:
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["sitecustomize"] = _module
    _spec.loader.exec_module(_module)
