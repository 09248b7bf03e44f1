"""Watching a process from its start: imported in spawned workers, and by `site/sitecustomize.py`."""

from __future__ import annotations

import sys

from tachograph.instrument import workers


def watch() -> None:
    """Watch every client; a setting that is wrong is said on stderr, and the program runs unwatched."""
    try:
        import tachograph

        tachograph.instrument()
        workers.install()
    except Exception as error:  # noqa: BLE001 - the program that we are to watch must run whatever happens
        sys.stderr.write(f"tachograph: this process is not watched: {error}\n")


watch()
