"""The programs the fire drill needs: finding them, and saying how to get them."""

from __future__ import annotations

import shutil
from typing import Final

from tachograph.errors import TachographError

_NAMES: Final = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
}

HOW: Final = (
    "Put prometheus, promtool and alertmanager on PATH. Debian and Ubuntu: apt install prometheus "
    "prometheus-alertmanager. macOS: brew install prometheus alertmanager. Elsewhere: unpack the archives from "
    "prometheus.io/download into a directory on PATH. None of them needs to run: the drill starts its own."
)


class MissingToolError(TachographError):
    """A program of Prometheus's is not on PATH."""


def find(name: str) -> str:
    """The path of one of the programs.

    Raises:
        MissingToolError: It is not on PATH; the text says how to get it.
    """
    for candidate in _NAMES[name]:
        path = shutil.which(candidate)
        if path:
            return path
    raise MissingToolError(f"the program {name!r} is not on PATH", do=HOW)
