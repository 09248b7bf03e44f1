"""Run the core of the instrumentation's tests with the oldest and the newest SDKs that we support.

Makes a virtual environment for each set below .versions/ (with uv where it is, else with venv and pip), installs the
project and that set, and runs the tests there. `python tools/version_matrix.py oldest` runs one set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".versions"

SETS: dict[str, list[str]] = {
    "oldest": ["openai==2.20.0", "anthropic==1.0.0", "google-genai==2.0.1", "mcp>=1.20,<2"],
    "openai-2": ["openai>=2.20,<3", "anthropic>=1,<2", "google-genai>=2,<3", "mcp>=1,<2"],
    "newest": ["openai>=3,<4", "anthropic>=2,<3", "google-genai>=3,<4", "mcp>=2,<3"],
}
"""The oldest we support, the newest of the generation before, and the newest there is."""

SETS["frameworks"] = [
    *SETS["newest"],
    "celery",
    "fastapi",
    "fastmcp",
    "ipykernel",
    "langchain-anthropic",
    "langchain-openai",
    "langgraph",
    "litellm",
    "nbclient",
    "openai-agents",
    "pydantic-ai-slim[openai]",
]
"""Frameworks that use those SDKs."""

SETS["others"] = [
    "openai>=3,<4",
    "anthropic>=2,<3",
    "google-genai>=2,<3",
    "mcp>=1,<2",
    "opentelemetry-instrumentation-anthropic",
    "opentelemetry-instrumentation-genai-anthropic",
    "opentelemetry-instrumentation-genai-openai",
    "opentelemetry-instrumentation-google-genai",
    "opentelemetry-instrumentation-google-generativeai",
    "opentelemetry-instrumentation-mcp",
    "opentelemetry-instrumentation-openai",
]
"""Other people's instrumentations, OpenTelemetry's and OpenLLMetry's, with the newest clients that they know."""

SETS["newest"] = [*SETS["newest"], "mcp-server-time"]
"""A server that the tests of connections start."""

SETS["fastmcp"] = [*SETS["newest"], "fastmcp>=4,<5", "fastmcp-tasks"]
SETS["fastmcp-2"] = [*SETS["openai-2"], "fastmcp>=2.14,<3"]
"""fastmcp's client over mcp 2 and over mcp 1."""

_CLIENTS = ["openai>=2,<4", "anthropic>=1,<3", "google-genai>=2,<4", "mcp>=1,<3"]
SETS["adk"] = [*_CLIENTS, "google-adk>=2"]
SETS["strands"] = [*_CLIENTS, "strands-agents[openai]"]
SETS["agent-framework"] = [*_CLIENTS, "agent-framework-core", "agent-framework-openai"]
"""Frameworks with spans of their own for each call of a model, which pin clients of different ages."""

SETS["wire"] = [
    *SETS["newest"],
    "azure-ai-inference",
    "boto3",
    "cohere",
    "groq",
    "httpx",
    "huggingface_hub",
    "litellm",
    "mistralai",
    "ollama",
    "requests",
    "together>=2",
]
"""Clients that are seen on the wire, and those that are made like openai's."""

SETS["aiobotocore"] = [*SETS["newest"], "aiobotocore"]
"""Which pins a botocore of its own."""

AGENTS: dict[str, list[str]] = {
    "agents-agno": ["openai>=2,<4", "agno"],
    "agents-autogen": ["autogen-agentchat", "autogen-ext[openai]"],
    "agents-adk": ["google-genai>=2,<4", "google-adk>=2", "litellm"],
    "agents-crewai": ["crewai"],
    "agents-dspy": ["dspy"],
    "agents-haystack": ["haystack-ai"],
    "agents-instructor": ["openai>=2,<4", "instructor"],
    "agents-langgraph": ["langchain", "langgraph", "langchain-openai", "langchain-anthropic"],
    "agents-litellm": ["litellm[proxy]"],
    "agents-llamaindex": ["llama-index-core", "llama-index-llms-openai"],
    "agents-openai": ["openai>=2,<4", "openai-agents"],
    "agents-pydantic-ai": ["openai>=2,<4", "pydantic-ai-slim[openai]"],
    "agents-semantic-kernel": ["semantic-kernel", "httpx"],  # which it imports and does not ask for
    "agents-smolagents": ["openai>=2,<4", "smolagents[openai,litellm]"],
    "agents-strands": ["openai>=2,<4", "strands-agents[openai]"],
}
"""A small agent with a tool in each framework, in an environment of its own: `frameworks` runs them all."""
SETS |= {name: ["mcp>=1,<3", *wanted] for name, wanted in AGENTS.items()}

COMMON = ["aiohttp", "opentelemetry-sdk", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "pyyaml"]
COMMON += ["uvicorn"]
OFFLINE = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # LiteLLM asks for its prices as it is imported
TESTS = {
    "oldest": ["test_openai.py", "test_matrix.py", "test_mcp_1.py"],
    "openai-2": ["test_openai.py", "test_matrix.py", "test_mcp_1.py"],
    "adk": ["test_spans_of_frameworks.py"],
    "strands": ["test_spans_of_frameworks.py"],
    "agent-framework": ["test_spans_of_frameworks.py"],
    "fastmcp": ["test_fastmcp.py"],
    "fastmcp-2": ["test_fastmcp.py", "test_mcp_1.py"],
    # `make test` runs the matrix with these
    "newest": ["test_openai.py", "test_mcp.py", "test_mcp_connections.py", "test_instrument.py"],
    "frameworks": ["test_frameworks.py", "test_examples.py"],
    "others": ["test_others.py"],
    "wire": ["test_wire.py", "test_wire_clients.py"],
    "aiobotocore": ["test_wire_clients.py"],
    **{name: ["test_agents.py"] for name in AGENTS},
}


def main(names: list[str]) -> int:
    """Run the named sets, or all; returns 1 when one failed."""
    failed = []
    if "frameworks" in names:
        names = [*names, *AGENTS]
    for name in names or [name for name in SETS if name not in AGENTS]:
        python = _environment(name)
        tests = [str(ROOT / "tests" / "instrument" / test) for test in TESTS[name]]
        print(f"== {name}: {_versions(python)}", flush=True)
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *tests]
        if subprocess.run(command, cwd=ROOT, env=OFFLINE, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "every set of versions is well", flush=True)
    return 1 if failed else 0


def _environment(name: str) -> Path:
    place = PLACE / name
    python = place / "bin" / "python"
    wanted = ["-e", str(ROOT), *COMMON, *SETS[name]]
    demo = ["--no-deps", "-e", str(ROOT / "demo")]  # its simulators; it asks for the newest clients itself
    uv = shutil.which("uv")
    if uv is not None:
        if not python.exists():
            subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(place)], check=True)
        for packages in (wanted, demo):
            subprocess.run([uv, "pip", "install", "-q", "-p", str(python), *packages], check=True)
        return python
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for packages in (wanted, demo):
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True, env=environment)
    return python


def _versions(python: Path) -> str:
    code = (
        "from importlib.metadata import PackageNotFoundError, version\n"
        "def described(name):\n"
        "    try:\n"
        "        return f'{name} {version(name)}'\n"
        "    except PackageNotFoundError:\n"
        "        return f'no {name}'\n"
        "print(', '.join(map(described, ('openai', 'anthropic', 'google-genai', 'mcp'))))"
    )
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
