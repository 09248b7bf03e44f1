"""The package as it is imported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import tachograph

HEAVY = ("openai", "anthropic", "google.genai", "mcp", "httpx2", "numpy", "opentelemetry.sdk", "genai_prices")


def test_importing_the_package_imports_no_client_library() -> None:
    code = f"import sys, tachograph; print([name for name in {HEAVY!r} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert [name for name in tachograph.__all__ if not hasattr(tachograph, name)] == []


def test_every_link_in_the_documents_leads_somewhere() -> None:
    root = Path(__file__).parent.parent
    pages = [root / "README.md", root / "CHANGELOG.md", *(root / "docs").rglob("*.md")]
    broken = []
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(root)} -> {target}")
    assert broken == []
