"""The package as it is imported."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import grimp
import pytest

import tachograph

ROOT = Path(__file__).resolve().parents[1]

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


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "tools"])
def test_programs_outside_the_package_import_only_what_is_there(folder: str) -> None:
    missing = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) and node.level == 0 else None
            if (
                module is not None
                and module.split(".")[0] in ("tachograph", "tachograph_demo")
                and not _is_there(module)
            ):
                missing.append(f"{path.relative_to(ROOT)}: {module}")
    assert missing == []


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


PROTOCOLS = {
    "Sink": "tape and records are one layer, and the tape asks less",
}
"""Names that a protocol shares with the class that implements it."""


def test_a_class_name_stands_for_one_thing() -> None:
    """Names with an underscore are of one file."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src" / "tachograph").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    doubled = {name: places for name, places in found.items() if len(places) > 1}
    assert {name: places for name, places in doubled.items() if name not in PROTOCOLS} == {}
    assert doubled.keys() == PROTOCOLS.keys(), "a name that is no longer shared needs no reason"


COMES_WITH = {
    "httpx2": "genai-prices asks for it",
    "mcp_types": "mcp asks for it",
    "anyio": "mcp asks for it",
    "referencing": "jsonschema asks for it",
    "tachograph_demo": "two commands import it, which say what to install where it is absent",
}
"""Imported without being asked for by name."""


def test_whatever_the_package_imports_stands_in_its_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {
        name: wanted for name, wanted in project["optional-dependencies"].items() if name not in ("dev", "docs", "demo")
    }
    asked_for = {
        canonical(re.split(r"[\[<>=!; ]", requirement)[0])
        for requirement in (*project["dependencies"], *(one for wanted in extras.values() for one in wanted))
    }
    ships = packages_distributions()
    lacking = {
        name
        for path in (ROOT / "src/tachograph").rglob("*.py")
        for name in third_parties(path)
        if name not in COMES_WITH and not asked_for & {canonical(one) for one in ships.get(name, [name])}
    }
    assert not lacking


def test_ci_runs_what_make_test_leaves_out_of_the_exhaustive_sets() -> None:
    assert "make test MARKED=" in (ROOT / ".ci/run").read_text("utf-8").splitlines()
    making = subprocess.run(["make", "-n", "tests", "MARKED="], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ' -m pytest -m "" ' in making.stdout


def canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def third_parties(path: Path) -> set[str]:
    """Top-level names of what a file imports from elsewhere."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"tachograph"}


def test_only_files_at_the_border_of_other_libraries_say_any() -> None:
    """The list in pyproject.toml is by file, and has none that no longer needs it."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    listed = {path for path, rules in lint["per-file-ignores"].items() if path.startswith("src/") and "ANN401" in rules}
    ruff = [sys.executable, "-m", "ruff", "check", "src", "--isolated", "--select", "ANN401", "--output-format", "json"]
    found = json.loads(subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=False).stdout)
    assert listed == {str(Path(one["filename"]).relative_to(ROOT)) for one in found}
