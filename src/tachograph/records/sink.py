"""Where a record goes that is only there to be looked at: one received from another process, or one to be priced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall
    from tachograph.records.tool_call import ToolCall


class _Nowhere:
    def finish_llm_call(self, call: LLMCall) -> None:
        """Take nothing."""

    def finish_tool_call(self, call: ToolCall) -> None:
        """Take nothing."""


NOWHERE: Final = _Nowhere()
