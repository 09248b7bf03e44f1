"""Which threads there are where gevent or eventlet is imported, patched or not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

SHOWN = """
import warnings
warnings.simplefilter("ignore")
import _thread
native_start = _thread.start_new_thread
{application}
from tachograph import native
print(native.is_patched(), native.original("start_new_thread") is native_start)
"""


@pytest.mark.parametrize(
    ("needed", "application", "patched"),
    [
        (["gevent"], "import gevent.monkey", False),
        (["eventlet"], "import eventlet", False),
        (["gevent"], "import gevent.monkey; gevent.monkey.patch_all()", True),
        (["eventlet"], "import eventlet; eventlet.monkey_patch()", True),
        (["gevent", "eventlet"], "import gevent.monkey, eventlet; eventlet.monkey_patch()", True),
        (["gevent", "eventlet"], "import gevent.monkey, eventlet; gevent.monkey.patch_all()", True),
    ],
)
def test_threads_are_greenlets_only_where_they_were_patched(needed: list[str], application: str, patched: bool) -> None:
    for name in needed:
        if importlib.util.find_spec(name) is None:  # importing it would have this process of pytest meet it too
            pytest.skip(f"{name} is not installed: pip install {name}")
    done = subprocess.run(
        [sys.executable, "-c", SHOWN.format(application=application)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    is_patched, same = done.stdout.split()
    assert is_patched == str(patched)
    if not patched:
        assert same == "True"
