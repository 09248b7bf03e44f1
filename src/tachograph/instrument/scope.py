"""What an application asks a library for, of however many requests: a repeated request is one call's next attempt.

Libraries that try again by themselves do so inside a method of theirs. While that runs, a `WireScope` is open
(`retries.py`, `wire_urllib3.py`). A call that fails inside is not finished yet. The same request sent again, to the
same API of the same provider with the same body, is the call's next attempt. A call that is not tried again has
failed when the scope ends, or when another request begins.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tachograph.instrument.watch import Watch
    from tachograph.vendors.api import Api


class WireScope:
    """An open scope.

    Attributes:
        watch: Its latest call.
        failing: Reads how that call's last request failed, while it may be tried again.
        is_closed: The library has returned; tasks that it left behind still have the scope in their context.
        is_redirected: Whether that request was answered with a redirect: it goes to whatever host it says.
        is_refused: Whether it was answered with an error whose body is still to be read, or never is.
    """

    __slots__ = ("_asked", "failing", "is_closed", "is_redirected", "is_refused", "watch")

    def __init__(self) -> None:
        self.watch: Watch | None = None
        self.failing: Callable[[], object] | None = None
        self.is_redirected = self.is_refused = self.is_closed = False
        self._asked: Any = None

    def begin(self, watch: Watch, model: str, body: object) -> None:
        """A call begins here."""
        if self.is_closed:
            return
        self.end()
        self.watch = watch
        self._asked = model, body
        watch.scope = self

    def again(self, api: Api, provider: str, model: str, body: object) -> Watch | None:
        """The call whose request is sent again; None when this one is another."""
        watch = self.watch
        if watch is None or not (self.failing or self.is_refused):
            return None
        if watch.api is not api or watch.call.is_finished:
            return None
        if self._asked != (model, body) or not (self.is_redirected or watch.call.provider == provider):
            return None
        self.failing, self.is_redirected, self.is_refused = None, False, False
        watch.error = watch.call.traceback = None
        return watch

    def failed(self, watch: Watch, reading: Callable[[], object]) -> None:
        """A request of a call has failed."""
        if watch is self.watch:
            self.failing = reading
        else:
            watch.call.hand_over(reading)

    def close(self) -> None:
        """The library has returned to the application."""
        self.is_closed = True
        self.end()

    def end(self) -> None:
        """What has failed by now has failed for good: the library has returned, or does more."""
        watch, failing = self.watch, self.failing
        self.watch = self.failing = self._asked = None
        self.is_refused = False
        if watch is not None:
            watch.scope = None
            if failing is not None:
                watch.call.hand_over(failing)


SCOPE: ContextVar[WireScope | None] = ContextVar("tachograph_scope", default=None)
"""The scope that is open here."""
