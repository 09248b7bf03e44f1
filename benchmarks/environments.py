"""A virtual environment for each peer, so that no peer's pins change another's client libraries."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".bench"
CLIENTS = ("openai", "anthropic", "google-genai", "mcp", "opentelemetry-sdk")


@dataclass(frozen=True)
class Peer:
    """A peer that watches.

    Attributes:
        name: Its module in benchmarks/peers.
        title: In tables.
        requires: What to install beside the client libraries.
        emits: What it emits, of metrics, spans, ledger: rows are compared with the same signals of ours.
        note: What a reader should know.
        groups: Groups of truth scenarios that it has to do with; none: all.
        watches: What of the cost rows it has to do with, by a word in their names; none: all.
        tools: What it does about MCP tool calls, where that is no more than the SDK itself does.
        bare: The module of what it is compared with.
    """

    name: str
    title: str
    requires: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    note: str = ""
    groups: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    tools: str = ""
    bare: str = "bare"


NATIVE = "the SDK's own span alone"
PEERS = (
    Peer("bare", "bare SDK"),
    Peer("tachograph_metrics", "Tachograph: metrics alone", (".",), ("metrics",)),
    Peer("tachograph_ledger", "Tachograph: ledger alone", (".",), ("ledger",)),
    Peer("tachograph_span", "Tachograph: span alone", (".",), ("spans",)),
    Peer("tachograph_span_unsampled", "Tachograph: span alone, not sampled", (".",)),
    Peer("tachograph", "Tachograph: metrics, ledger", (".",), ("metrics", "ledger")),
    Peer("tachograph_unsampled", "Tachograph: metrics, ledger, span not sampled", (".",), ("metrics", "ledger")),
    Peer("tachograph_metrics_spans", "Tachograph: metrics, span", (".",), ("metrics", "spans")),
    Peer("tachograph_spans", "Tachograph: metrics, ledger, span", (".",), ("metrics", "ledger", "spans")),
    Peer("tachograph_tools", "Tachograph: metrics alone, MCP's client side alone", (".",), groups=("tools",)),
    Peer("tachograph_tools_span", "Tachograph: span alone, MCP's client side alone", (".",), groups=("tools",)),
    Peer(
        "tachograph_tools_spans",
        "Tachograph: metrics, ledger, span, MCP's client side alone",
        (".",),
        groups=("tools",),
    ),
    Peer("floor_handwritten", "floor: hand-written recorder", ("prometheus-client",), ("metrics",)),
    Peer("floor_otel", "floor: plain OpenTelemetry calls", (), ("metrics", "spans")),
    Peer(
        "native",
        "the SDKs' own spans",
        (),
        ("spans",),
        "anthropic and mcp only",
        watches=("anthropic", "tool"),
        tools=NATIVE,
    ),
    Peer(
        "otel",
        "OpenTelemetry GenAI",
        (
            "opentelemetry-instrumentation-genai-openai",
            "opentelemetry-instrumentation-genai-anthropic",
            "opentelemetry-instrumentation-google-genai",
            "opentelemetry-instrumentation-httpx",
        ),
        ("metrics", "spans"),
        tools=NATIVE,
    ),
    Peer(
        "openllmetry",
        "OpenLLMetry",
        (
            "opentelemetry-instrumentation-openai",
            "opentelemetry-instrumentation-anthropic",
            "opentelemetry-instrumentation-google-generativeai",
            "opentelemetry-instrumentation-mcp",
        ),
        ("metrics", "spans"),
        tools=NATIVE,
    ),
    Peer(
        "openinference",
        "OpenInference",
        (
            "openinference-instrumentation-openai",
            "openinference-instrumentation-anthropic",
            "openinference-instrumentation-google-genai",
            "openinference-instrumentation-mcp",
        ),
        ("spans",),
        tools="the SDK's own span, and it passes the trace on",
    ),
    Peer("logfire", "Logfire", ("logfire[google-genai,httpx]", "genai-prices"), ("spans",), tools=NATIVE),
    Peer("openlit", "OpenLIT", ("openlit",), ("spans", "metrics"), "pins openai below 3 and anthropic below 2"),
    Peer(
        "langfuse",
        "Langfuse",
        ("langfuse", "openinference-instrumentation-google-genai"),
        ("spans",),
        "its wrapper for OpenAI, OpenInference for Gemini as its documentation says, the SDK's own spans for Anthropic",
        tools=NATIVE,
    ),
    Peer(
        "fastmcp",
        "FastMCP",
        ("fastmcp",),
        ("spans",),
        "tools only",
        groups=("tools",),
        watches=("tool",),
        bare="fastmcp_silent",
    ),
)
BY_NAME = {peer.name: peer for peer in PEERS}


def python_of(peer: Peer) -> Path:
    """The peer's Python, its environment made first when it is missing or its requirements have changed.

    Raises:
        RuntimeError: It cannot be installed; the message has the installer's last lines.
    """
    requires = tuple(sorted({*CLIENTS, *peer.requires} - {"."}))
    key = hashlib.sha256(json.dumps([requires, sys.version_info[:2]]).encode()).hexdigest()[:10]
    folder = PLACE / f"{'ours' if '.' in peer.requires else peer.name}-{key}"
    python = folder / "bin/python"
    if (folder / ".ready").is_file():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(folder)])
    wanted = [*requires]
    if "." in peer.requires:
        wanted.append(f"{ROOT}[openai,anthropic,gemini,mcp,otlp,sqlite]")
    uv = shutil.which("uv")
    installer = (
        [uv, "pip", "install", "--quiet", "--python", str(python)]
        if uv
        else [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    )
    editable = ["--editable", wanted.pop()] if "." in peer.requires else []
    run([*installer, *wanted, *editable])
    (folder / ".ready").write_text("\n".join(wanted))
    return python


def run(command: list[str]) -> None:
    """Run an installer; its output is shown only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError("\n".join(done.stdout.splitlines()[-6:]))


def of_clients(python: Path) -> dict[str, str]:
    """Versions of all that a bare call runs through: environments that agree in them can share a bare process."""
    return versions(python, (*CLIENTS, "httpx2", "httpcore2", "httpx", "pydantic", "pydantic-core", "anyio", "h11"))


def versions(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, of those that are installed."""
    code = (
        "import json,sys\nfrom importlib.metadata import version, PackageNotFoundError\nfound={}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name]=version(name)\n"
        "    except PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    printed = subprocess.run([str(python), "-c", code, *names], capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(printed)
    return found
