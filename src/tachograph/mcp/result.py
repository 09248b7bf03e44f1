"""What a tool answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MCPToolResult:
    """The answer of one tool call.

    Attributes:
        content: The content blocks as the protocol has them: `{"type": "text", "text": ...}`, `{"type": "image",
            "data": <base64>, "mimeType": ...}`, `audio`, `resource`, `resource_link`.
        structured_content: The answer as JSON, from tools that have an output schema; else None.
        is_error: Whether the tool said that it failed. `ToolExecutor.execute` raises then, with this as `error.result`.
        meta: What the server put beside the answer (`_meta`).
    """

    content: tuple[dict[str, Any], ...]
    structured_content: Any = None
    is_error: bool = False
    meta: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """All text of the answer, joined by newlines; what is not text is left out."""
        parts = []
        for block in self.content:
            if block.get("type") == "text":
                parts.append(block.get("text", ""))
            elif block.get("type") == "resource" and "text" in block.get("resource", {}):
                parts.append(block["resource"]["text"])
        return "\n".join(parts)
