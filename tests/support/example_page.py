"""The page of the docs that shows every example: `PYTHONPATH=src:tests python -m support.example_page` writes it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "examples.md"
ORDER = (
    "chat.py",
    "service.py",
    "agent.py",
    "mcp_server.py",
    "langchain_chat.py",
    "pydantic_ai_agent.py",
    "batch.py",
    "notebook.ipynb",
    "simulated.py",
    "show.py",
)


def page() -> str:
    """Every example with its code, as it stands."""
    parts = [
        "# Examples",
        "",
        "Short programs in `examples/`, run by tests against the simulators as they stand. This page is made from them"
        " by `python -m support.example_page`.",
    ]
    for name in ORDER:
        code, said = _read(EXAMPLES / name)
        parts += ["", f"## {name}", "", said, "", "```python", code, "```"]
    return "\n".join(parts) + "\n"


def _read(path: Path) -> tuple[str, str]:
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        return code, "".join(cells[0]["source"]).partition("\n\n")[2]
    tree = ast.parse(text)
    said = ast.get_docstring(tree) or ""
    end = tree.body[0].end_lineno or 0
    return "\n".join(text.splitlines()[end:]).strip(), said


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
