"""The package as it is imported."""

from __future__ import annotations

import subprocess
import sys

import grimp

import tachograph

HEAVY = ("openai", "anthropic", "google.genai", "mcp", "httpx2", "numpy", "opentelemetry.sdk", "genai_prices")


def test_importing_the_package_imports_no_client_library() -> None:
    code = f"import sys, tachograph; print([name for name in {HEAVY!r} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert [name for name in tachograph.__all__ if not hasattr(tachograph, name)] == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("tachograph", exclude_type_checking_imports=True, cache_dir=None)
    left = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    while ends := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in ends:
            del left[name]
    circles = {name for name in left if any(name in left[other] for other in left)}
    assert not circles, f"these import each other, or lie between those that do: {sorted(circles)}"
