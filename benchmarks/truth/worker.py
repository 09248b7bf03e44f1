"""Runs inside a peer's environment: starts the peer, plays the application, and hands over what the peer emitted.

python -m benchmarks.truth.worker PEER URLS_AS_JSON
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

from benchmarks.peers import load
from benchmarks.processes import serve


class Stage:
    """One process with one peer."""

    def __init__(self, peer: str, urls: dict[str, str]) -> None:
        from benchmarks.peers.emitted import Emitted

        self._module = load(peer)
        self._emitted = Emitted(kept=True)
        self._module.start(self._emitted)
        from benchmarks.truth.clients import Application

        wrapper = self._module.openai_module() if hasattr(self._module, "openai_module") else None
        self._application = Application(urls, wrapper, self._module if hasattr(self._module, "tool_client") else None)

    def play(self, action: str, arguments: dict[str, Any], twice: bool = False) -> dict[str, Any]:
        """Do one thing; returns what the application got and what the peer emitted meanwhile.

        Args:
            action, arguments: A method of `Application`.
            twice: Switch the peer on again first, as two parts of an application may.
        """
        if twice:
            again = getattr(self._module, "instrument_again", None)
            again() if again else self._module.start(self._emitted)
        take = getattr(self._module, "take", None)
        self._emitted.take()
        if take:
            take()
        gc.freeze()  # what the application drops is collected at once, and without looking through all that was before
        raised = self._application.run(action, arguments)
        own = take() if take else None
        self._emitted.tracer_provider.force_flush(5000)
        return {"raised": raised, "own": own, **self._emitted.take()}


if __name__ == "__main__":
    serve(lambda: Stage(sys.argv[1], json.loads(sys.argv[2])))
