"""Which MCP server a tool that a model is offered comes from: a request's definition names only the tool.

The lists of tools that clients have read tell most, also of tools that were never called; calls tell the rest.
Frameworks put the server's name before the tool's (`files_read`, `mcp__files__read`), and write names as vendors take
them.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

NONE: Final = "none"
"""The server_id of a tool of no known server, or of one name on several."""

_MOST: Final = 20_000
_RECENT: Final = 1000
_MADE, _LISTED, _CALLED = 0, 1, 4
_PREFIXED, _AS_IT_IS, _FOLDED = 0, 1, 2
"""What is known of a name, the best first; of lists and of calls there are three of each."""


class ToolOwners:
    """The servers of tools, by the names that a model may be given. Bounded: the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: OrderedDict[tuple[int, str], str] = OrderedDict()
        self._recent: OrderedDict[int, None] = OrderedDict()

    def made(self, name: str, server_id: str) -> None:
        """A tool of ours was made to be offered under this name."""
        with self._lock:
            self._claim(_MADE, name, server_id)

    def listed(self, names: Iterable[str], server_id: str, *also: str | None) -> None:
        """A client has read that a server has these tools; `also`: other names of the server."""
        self._note(_LISTED, tuple(names), server_id, also)

    def called(self, name: str, server_id: str) -> None:
        """A server's tool was called."""
        self._note(_CALLED, (name,), server_id, ())

    def of(self, name: str) -> str:
        """The server of a tool that a request defines, or `none`."""
        folded = _folded(name)
        bare = folded.removeprefix("mcp_")
        by_list = ((_LISTED, bare), (_LISTED + _AS_IT_IS, name), (_LISTED + _FOLDED, folded))
        by_call = ((_CALLED, bare), (_CALLED + _AS_IT_IS, name), (_CALLED + _FOLDED, folded))
        with self._lock:
            for key in ((_MADE, name), *by_list, *by_call):
                owner = self._owners.get(key)
                if owner is not None:
                    return owner
        return NONE

    def _note(self, source: int, names: tuple[str, ...], server_id: str, also: tuple[str | None, ...]) -> None:
        mark = hash((source, names, server_id, also))
        with self._lock:
            if mark in self._recent:
                self._recent.move_to_end(mark)
                return
            self._recent[mark] = None
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        servers = {folded for own in (server_id, *also) if own and (folded := _folded(own).removeprefix("mcp_"))}
        for name in names:
            folded = _folded(name)
            with self._lock:
                self._claim(source + _AS_IT_IS, name, server_id)
                if folded:
                    self._claim(source + _FOLDED, folded, server_id)
                    for server in servers:
                        self._claim(source + _PREFIXED, f"{server}_{folded}", server_id)

    def _claim(self, rank: int, name: str, server_id: str) -> None:
        key = (rank, name)
        if self._owners.setdefault(key, server_id) != server_id:
            self._owners[key] = NONE
        self._owners.move_to_end(key)
        if len(self._owners) > _MOST:
            self._owners.popitem(last=False)
            self._recent.clear()  # what is forgotten is taken again when it is read again


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
