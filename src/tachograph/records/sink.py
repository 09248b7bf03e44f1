"""Where a record goes that is only there to be looked at: one received from another process, or one to be priced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tachograph.records.content import ContentGate

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall
    from tachograph.records.tool_call import ToolCall


class _Nowhere:
    content: Final = ContentGate(keeps=True, limit=1 << 20)
    """What another process sent has been through its own gate."""

    def failed(self, component: str, error: BaseException) -> None:
        """There is nobody to tell."""

    def finish_llm_call(self, call: LLMCall) -> None:
        """Take nothing."""

    def finish_tool_call(self, call: ToolCall) -> None:
        """Take nothing."""


NOWHERE: Final = _Nowhere()
