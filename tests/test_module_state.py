"""What a module keeps between calls is listed here with its reason, and no file reads another file's private names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
HOLDERS = frozenset(
    ("dict", "list", "set", "deque", "WeakSet", "WeakKeyDictionary", "WeakValueDictionary", "defaultdict", "Counter",
     "OrderedDict", "Lock", "RLock", "local")
)  # fmt: skip

PROCESS = "the process's recorder, its settings and its port: `configure()` sets them"
PATCHES = "what was patched, to be put back by `uninstrument()`"
ONCE = "what the log has said already"
BESIDE = "ours, by an object of an SDK that takes no attribute of ours; weak"
FORK = "every open one, so that a forked child leaves its parent's alone; weak"
LEAKED = "what a forked child must not close, since its parent uses it"
LOADED = "a library or price list, loaded when it is first needed"

STATE = {
    "runtime.py": {"recorder_in_place": PROCESS, "settings_in_place": PROCESS, "_server": PROCESS, "_redact": PROCESS,
                   "_lock": PROCESS},
    "instrument/active_config.py": {"_recorder": PROCESS, "settings": PROCESS},
    "instrument/patches.py": {"_patches": PATCHES},
    "instrument/report.py": {"_clients": PATCHES, "_checked": ONCE},
    "instrument/vendor_spans.py": {"_silenced": PATCHES},
    "instrument/launch.py": {"_mains": "the application's module, kept until the process ends"},
    "instrument/gemini_live.py": {"_sessions": BESIDE},
    "instrument/openai_realtime.py": {"_sockets": BESIDE},
    "instrument/mcp_connections.py": {"_streams": BESIDE},
    "instrument/mcp.py": {"_COUNTED_ELSEWHERE": "types of requests that are counted as calls, learnt"},
    "instrument/mcp_identity.py": {"_configured": "names of MCP servers, learnt by address"},
    "instrument/other_instrumentation.py": {"_logged": ONCE},
    "instrument/unwatched.py": {"_logged": ONCE},
    "tape/guard.py": {"_failed": "where failures of the wrappers are reported"},
    "records/ids.py": dict.fromkeys(("_base", "_counter", "next_number"), "the source of ids, per process"),
    "run_context.py": {"_sources": "where frameworks keep their ids"},
    "signals/http.py": {"_servers": FORK},
    "signals/otlp.py": {"_logged": ONCE, "_open": FORK, "_kept": LEAKED},
    "signals/registry.py": {"_all": FORK},
    "llm/fleet_rates.py": {"_all": FORK, "_leaked": LEAKED},
    "usage/budgets/fleet.py": {"_leaked": LEAKED},
    "usage/budgets/guard.py": {"_all": FORK},
    "usage/ledger.py": {"_all": FORK},
    "usage/stores/sqlite_library.py": {"_module": LOADED, "_opened_in": LOADED, "_copies": LOADED, "_lock": LOADED,
                                       "_moving": LOADED},
    "testing.py": {"_takers": "listeners of tests", "_watched": "tracer providers that tests watch"},
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((SOURCE / "tachograph").rglob("*.py")):
        yield path.relative_to(SOURCE / "tachograph").as_posix(), ast.parse(path.read_text("utf-8"))


def state_of(tree: ast.Module) -> set[str]:
    """Names that a function rebinds with `global`, and containers and locks that begin empty."""
    found = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if _holds(value):
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _holds(value: ast.expr) -> bool:
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List | ast.Set):
        return not value.elts
    called = value.func if isinstance(value, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in HOLDERS and isinstance(value, ast.Call) and not value.args


def test_what_modules_keep_is_listed_with_its_reason() -> None:
    found = {path: state for path, tree in modules() if (state := state_of(tree))}
    assert found == {path: set(names) for path, names in STATE.items()}


def test_no_file_reads_the_private_names_of_another() -> None:
    found = []
    for path, tree in modules():
        ours = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tachograph":
                for alias in node.names:
                    if alias.name.startswith("_") and not alias.name.startswith("__"):
                        found.append(f"{path}:{node.lineno} imports {alias.name}")
                    where = SOURCE.joinpath(*str(node.module).split("."), alias.name)
                    if where.is_dir() or where.with_suffix(".py").exists():
                        ours.add(alias.asname or alias.name)
        found += [
            f"{path}:{node.lineno} reads {node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours
            and node.attr.startswith("_") and not node.attr.startswith("__")
        ]  # fmt: skip
    assert found == []
