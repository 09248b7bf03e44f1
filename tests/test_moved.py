"""Names of modules are promises: an old one works for one release, with a warning that says the new one."""

from __future__ import annotations

from importlib import import_module

import pytest

MOVED = {
    "tachograph.demo.simulators": ("Answer", "RateLimited", "ServedUsage", "Simulators"),
    "tachograph.llm.pricing": ("Pricer", "PriceFile", "PriceFileError"),
    "tachograph.llm.usage": (
        "anthropic_merge_usage",
        "anthropic_usage",
        "gemini_embedding_usage",
        "gemini_searches",
        "gemini_usage",
        "interactions_usage",
        "openai_response_usage",
        "openai_usage",
    ),
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in MOVED.items() for name in names])
def test_a_moved_name_works_and_says_where_it_is_now(module: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"import {name} from tachograph") as caught:
        found = getattr(import_module(module), name)
    new = str(caught[0].message).rsplit(" ", 1)[1]
    assert found is getattr(import_module(new), name)


@pytest.mark.parametrize(("old", "new"), [("Tool", "MCPTool"), ("ToolResult", "MCPToolResult")])
def test_a_renamed_class_works_and_says_its_new_name(old: str, new: str) -> None:
    mcp = import_module("tachograph.mcp")
    with pytest.warns(DeprecationWarning, match=f"import {new} from tachograph.mcp"):
        found = getattr(mcp, old)
    assert found is getattr(mcp, new)


def test_a_moved_module_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Prices'"):
        getattr(import_module("tachograph.llm.pricing"), "Prices")  # noqa: B009 - mypy checks the module's names
