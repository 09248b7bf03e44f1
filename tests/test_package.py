"""The package as it is imported."""

from __future__ import annotations

import subprocess
import sys

import tachograph

HEAVY = ("openai", "anthropic", "google.genai", "mcp", "httpx2", "numpy", "opentelemetry.sdk", "genai_prices")


def test_importing_the_package_imports_no_client_library() -> None:
    code = f"import sys, tachograph; print([name for name in {HEAVY!r} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert [name for name in tachograph.__all__ if not hasattr(tachograph, name)] == []
