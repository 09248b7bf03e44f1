"""No private name of OpenTelemetry's is used, but for those listed here with the reason why there is no public way."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from types import FunctionType

import opentelemetry.sdk
import opentelemetry.trace

SOURCE = Path(__file__).resolve().parents[1] / "src" / "tachograph"
ROOTS = [Path(opentelemetry.sdk.__path__[0]), Path(opentelemetry.trace.__path__[0]).parent]
"""The SDK and the API, as they are installed."""

READERS = "no public way to add counted histograms to a reader's collection (docs/decisions/0108)"
FORK = "the SDK's handler at fork starts threads and waits for them (docs/decisions/0108)"
ALLOWED = {
    "instrument/otel.py": dict.fromkeys(("_instrument", "_uninstrument"), "what each instrumentor must define"),
    "instrument/other_instrumentation.py": {
        "_client": "Logfire's, and spelt as one of OpenTelemetry's",
        "_instance": "calling the class of another instrumentor, the public way, would make one where there is none",
    },
    "signals/native.py": {"_tracer": "anthropic's, and spelt as one of OpenTelemetry's"},
    "signals/otlp_join.py": {
        "_collect": READERS,
        "_measurement_consumer": READERS,
        "_reader_storages": READERS,
        "_sdk_config": READERS,
        "_set_collect_callback": READERS,
    },
    "signals/otlp_push.py": {"_handle_fork": FORK, "_tracers_lock": FORK},
    "signals/spans.py": {"_on_ending": "a processor that overrides it gets stock spans; absent before SDK 1.32"},
}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def names_of_opentelemetry() -> set[str]:
    """Private attributes, methods and functions of the SDK and the API."""
    found = set()
    for root in ROOTS:
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    found.add(node.name)
                elif isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found.add(node.id)
    return {name for name in found if private(name)}


def used(tree: ast.Module, theirs: set[str]) -> set[str]:
    """Private names that a module reads from other objects, also by `getattr`, or redefines in a class of theirs."""
    sources = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("opentelemetry")
        for alias in node.names
    }
    found = set(filter(private, sources))
    of_classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for made in of_classes:
        bases = [base.id for base in made.bases if isinstance(base, ast.Name) and base.id in sources]
        for base in bases:
            found |= own_names(made) & names_of(getattr(import_module(str(sources[base])), base))
    ours = set().union(*(own_names(made) for made in of_classes)) | {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in theirs - ours:
            found.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            named = (one.value for one in node.args if isinstance(one, ast.Constant))  # getattr(it, "_name")
            found |= {one for one in named if isinstance(one, str) and one in theirs - ours}
    return found


def own_names(made: ast.ClassDef) -> set[str]:
    """Private methods and attributes that a class of ours has."""
    methods = {node.name for node in ast.walk(made) if isinstance(node, ast.FunctionDef)}
    return set(filter(private, methods)) | {
        node.attr
        for node in ast.walk(made)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("self", "cls")
        and private(node.attr)
    }


def names_of(base: type) -> set[str]:
    """Private names of a class of the SDK: its methods, and what its constructors set."""
    constructors = (vars(kind).get("__init__") for kind in base.__mro__)
    names = {name for one in constructors if isinstance(one, FunctionType) for name in one.__code__.co_names}
    return set(filter(private, names | set(dir(base))))


def test_private_names_of_opentelemetry_are_used_in_the_listed_places_alone() -> None:
    theirs = names_of_opentelemetry()
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text("utf-8")
        if "opentelemetry" in text and (names := used(ast.parse(text), theirs)):
            found[path.relative_to(SOURCE).as_posix()] = names
    assert found == {file: set(reasons) for file, reasons in ALLOWED.items()}
