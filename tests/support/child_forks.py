"""Importing this ends the process as soon as a child of a fork forks, and notes it in `forked`.

For programs that fork under other schedulers; import it once those have replaced what they replace.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Final

_FIRST: Final = os.getpid()
forked: Final = tempfile.mkstemp()[1]
"""A file with one letter for each fork in a child."""


def _audit(event: str, _: object) -> None:
    if event == "os.fork" and os.getpid() != _FIRST:
        with open(forked, "a") as file:
            file.write("x")
        os._exit(9)


sys.addaudithook(_audit)
