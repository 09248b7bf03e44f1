"""Where a record goes when it is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from tachograph.records.content import ContentGate

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall
    from tachograph.records.tool_call import ToolCall


class Sink(Protocol):
    """Where a finished record goes.

    Attributes:
        in_flight: References to records that have begun and are not finished, by number. Taking one out is what
            finishes it: one atomic step, since a finaliser and a reader may race. The references are weak: a record
            that is dropped without an end is gone.
        ring: Where it is kept through a kill until the ledger has it, if anywhere.
    """

    in_flight: dict[int, Any]
    ring: Any

    @property
    def content(self) -> ContentGate:
        """What may be kept of what was said."""
        ...

    def failed(self, component: str, error: BaseException) -> None:
        """Take a failure of ours."""

    def put(self, record: LLMCall | ToolCall) -> None:
        """Take a finished record, to be completed by its `reading` and delivered soon. Returns within microseconds."""

    def settle(self) -> None:
        """Deliver what was taken so far, now."""


class _Nowhere:
    """For a record that is only there to be looked at: one received from another process, or one to be priced."""

    def failed(self, component: str, error: BaseException) -> None:
        """There is no receiver."""

    def __init__(self) -> None:
        self.in_flight: dict[int, Any] = {}
        self.ring = None
        self.content = ContentGate(keeps=True, limit=1 << 20)  # what another process sent has been through its own

    def put(self, record: LLMCall | ToolCall) -> None:
        """Nothing is taken: such a record is not in flight, so it is never finished."""

    def settle(self) -> None:
        """Nothing waits here."""


NOWHERE: Final = _Nowhere()
