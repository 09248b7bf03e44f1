"""The pages about this side say what is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tachograph.llm.errors import ERROR_CLASSES
from tachograph.llm.types import Request
from tachograph.pricing import Pricer
from tachograph.pricing.dimensions import TOKENS, TOOLS
from tachograph.records import ERROR_TYPES
from tachograph.settings.pricing import PricingSettings
from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, Simulators, ToolCall

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.S)


def test_the_examples_run(simulators: Simulators, seen: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor, variable in (("openai", "OPENAI"), ("anthropic", "ANTHROPIC"), ("gemini", "GEMINI")):
        monkeypatch.setenv(f"{variable}_API_KEY", "a-key")
        url = "GOOGLE_GEMINI_BASE_URL" if vendor == "gemini" else f"{variable}_BASE_URL"
        monkeypatch.setenv(url, getattr(simulators, vendor).url)
    simulators.openai.script(
        Answer(text="Rhine, Elbe, Oder"),
        Answer(text="Once upon a time"),
        Answer(text="", tool_calls=[ToolCall("get_weather", {"city": "Oslo"})]),
        Answer(text="Cold."),
    )
    names: dict[str, Any] = {"print": lambda *args, **kwargs: None}
    for block in blocks("providers.md", "python"):
        exec(block, names)
    assert names["response"].text == "Cold."
    assert [call.outcome for call in seen.llm_calls] == ["success"] * 4


def test_every_field_of_a_request_is_described() -> None:
    page = (DOCS / "providers.md").read_text("utf-8")
    for name in Request.__dataclass_fields__:
        assert f"`{name}`" in page, name


def test_every_category_and_class_is_described() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    for category in ERROR_TYPES:
        assert f"| `{category}` |" in page
        assert f"`{ERROR_CLASSES[category].__name__}`" in page


def test_the_price_file_of_the_page_is_one(tmp_path: Path) -> None:
    for block in blocks("pricing.md", "toml"):
        path = tmp_path / "prices.toml"
        path.write_text(block, "utf-8")
        Pricer(path)


def test_every_word_and_setting_of_pricing_is_described() -> None:
    page = (DOCS / "pricing.md").read_text("utf-8")
    for word in (*(set(TOKENS) - {"input", "output"}), *TOOLS):
        assert f"`{word}`" in page, word
    for name in PricingSettings.__struct_fields__:
        assert f"`pricing.{name}`" in page, name
