"""docs/mcp.md names everything that tachograph.mcp offers."""

from __future__ import annotations

from pathlib import Path

import tachograph.mcp

PAGE = Path(__file__).parents[2] / "docs" / "mcp.md"


def test_every_exported_name_is_described():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in tachograph.mcp.__all__ if name not in text] == []


def test_every_exported_name_is_there():
    for name in tachograph.mcp.__all__:
        assert getattr(tachograph.mcp, name).__name__ == name
