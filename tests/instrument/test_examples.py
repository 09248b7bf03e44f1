"""Every example runs against the simulators as it stands, where its packages are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from support.example_page import ORDER, PAGE, page
from support.servers import free_port_server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SIMULATED = [sys.executable, str(EXAMPLES / "simulated.py")]
RUN = [*SIMULATED, "-m", "tachograph", "run", "--", sys.executable]


def execute(command: list[str]) -> str:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def recorded(output: str) -> list[str]:
    return output.split("What was recorded:\n")[1].splitlines()


def test_chat() -> None:
    lines = recorded(execute([*SIMULATED, str(EXAMPLES / "chat.py")]))
    assert [line.split()[0].partition("/")[0] for line in lines] == ["openai", "anthropic", "gemini"]
    assert all("success" in line and "$" in line for line in lines)


def test_agent_with_mcp_tools() -> None:
    lines = recorded(execute([*SIMULATED, str(EXAMPLES / "agent.py")]))
    assert [line.split()[0] for line in lines] == ["openai/gpt-5", "client", "openai/gpt-5"]
    assert lines[1].strip().endswith("mcp_server.py/forecast: success")  # a server has the name of its command


def test_batch_over_several_processes() -> None:
    assert "the metrics of all processes say" in execute([*RUN, str(EXAMPLES / "batch.py")])


def all_succeed(name: str, calls: int) -> None:
    lines = recorded(execute([*SIMULATED, str(EXAMPLES / name)]))
    assert len(lines) == calls
    assert all("success" in line for line in lines)


@pytest.mark.needs("langchain_openai", "langchain_anthropic")
def test_langchain() -> None:
    all_succeed("langchain_chat.py", 3)


@pytest.mark.needs("pydantic_ai")
def test_pydantic_ai() -> None:
    all_succeed("pydantic_ai_agent.py", 1)


@pytest.mark.needs("fastapi")
def test_service_streams_under_several_workers(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    service = ["-m", "uvicorn", "--app-dir", str(EXAMPLES), "service:app", "--workers", "2", "--port"]
    with free_port_server(
        lambda port: [*RUN, *service, str(port)],
        folder=tmp_path,
        path="/metrics/",
        deadline_seconds=60,
        TACHOGRAPH_METRICS_MULTIPROCESS_DIR=str(folder),
    ) as url:
        base = url.removesuffix("/metrics/")
        workers = set()
        for _ in range(12):
            with urllib.request.urlopen(f"{base}/chat?q=hello", timeout=120) as answer:
                assert answer.read()
                workers.add(answer.headers["x-worker"])
        counted = 0.0
        for _ in range(500):  # the other worker writes its last call down after it has answered
            with urllib.request.urlopen(url, timeout=120) as answer:
                lines = answer.read().decode().splitlines()
            calls = [line for line in lines if line.startswith("llm_call_seconds_count{") and "success" in line]
            counted = sum(float(line.rsplit(" ", 1)[1]) for line in calls)
            if counted >= 12:
                break
    assert counted == 12
    assert os.getpid() not in workers


@pytest.mark.needs("nbclient", "ipykernel")
def test_notebook() -> None:
    code = (
        "import nbformat, nbclient, sys\n"
        "notebook = nbformat.read(sys.argv[1], as_version=4)\n"
        "nbclient.NotebookClient(notebook, timeout=240, kernel_name='python3').execute()\n"
    )
    execute([*SIMULATED, "-c", code, str(EXAMPLES / "notebook.ipynb")])


def test_the_notebooks_code_runs_without_jupyter() -> None:
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text("utf-8"))
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert "success" in execute([*SIMULATED, "-c", code])


def test_the_page_shows_every_example_as_it_stands() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")} == set(ORDER)
    assert PAGE.read_text("utf-8") == page(), "write it again: PYTHONPATH=src:tests python -m support.example_page"
