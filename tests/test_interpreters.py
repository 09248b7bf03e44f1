"""Subinterpreters: refused by name, before anything is loaded that would end the process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
made = interpreters.create()
try:
    failed = interpreters.run_string(made, "import sys; sys.path[:0] = %r; import tachograph" % (sys.path,))
except interpreters.RunFailedError as error:
    failed = error
print(failed)
interpreters.destroy(made)
"""


def test_a_subinterpreter_is_refused_by_name_and_the_process_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "tachograph does not run in a subinterpreter. Import it in the main interpreter." in done.stdout
