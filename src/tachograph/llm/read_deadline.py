"""The deadline of a blocking stream: a thread that waits for bytes is not interrupted, but its connection can be shut.

The SDKs bound each read by the timeout that their request was sent with. When the deadline comes during a read, a timer
shuts the socket down; the read ends with an error at once, and the engine sees that the deadline has passed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any

_READING: ContextVar[Cut | None] = ContextVar("tachograph_cut", default=None)


class Cut:
    """Ends what one attempt reads at its deadline, as far as its connection is known and is its own (HTTP/1)."""

    def __init__(self, deadline_ns: int) -> None:
        self._lock = threading.Lock()
        self._response: Any = None
        self._is_reading = False
        self._has_come = False
        self._timer = threading.Timer((deadline_ns - perf_counter_ns()) / 1e9, self._come)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, response: Any) -> None:
        """This is the HTTP response that is read."""
        self._response = response

    def around(self, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The same read, ended when the deadline comes.

        Raises:
            TimeoutError: It has come already.
        """

        def reading(iterator: object) -> object:
            with self._lock:
                if self._has_come:
                    raise TimeoutError("the deadline has passed")
                self._is_reading = True
            token = _READING.set(self)
            try:
                return read(iterator)
            finally:
                _READING.reset(token)
                with self._lock:
                    self._is_reading = False

        return reading

    def end(self) -> None:
        """Nothing is read any more."""
        self._timer.cancel()

    def _come(self) -> None:
        with self._lock:
            self._has_come = True
            if self._is_reading:
                _shut(self._response)


def see_response(response: object) -> None:
    """A hook of an HTTP client of ours, for SDKs that keep their responses to themselves."""
    cut = _READING.get()
    if cut is not None:
        cut.watch(response)


def _shut(response: Any) -> None:
    """Shut the connection down under a response. One that is closed may serve another call; HTTP/2's serves many."""
    if response is None or response.is_closed or not response.http_version.startswith("HTTP/1"):
        return
    stream = response.extensions.get("network_stream")
    connection = None if stream is None else stream.get_extra_info("socket")
    if isinstance(connection, socket.socket):
        try:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not TLS's own, which its reader does not survive
        except OSError:
            return  # it went away by itself
