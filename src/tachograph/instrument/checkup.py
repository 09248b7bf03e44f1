"""The doctor's findings, as data: what is installed, hooked, active and exported, and whether a call is really seen."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from tachograph import runtime
from tachograph.instrument import instrument, other_instrumentation, report, unwatched
from tachograph.version import __version__

MODULES: Final[dict[str, tuple[str, ...]]] = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "google_genai": ("google.genai", "google.genai._gaos.interactions", "google.genai._gaos.utils.eventstreaming"),
    "mcp": (
        "mcp",
        "mcp.client.session",
        "mcp.client.client",
        "mcp.client.stdio",
        "mcp.client.streamable_http",
        "mcp.server.lowlevel.server",
        "mcp.server.runner",
    ),
}
"""What to import to have a client library's hooks in place, as an application would."""


@dataclass(slots=True)
class Finding:
    """One line of the report.

    Attributes:
        topic: `versions`, `hooks`, `wire`, `others`, `exporters`, `proof`.
        name: What it is about.
        state: `ok`, `warning`, `problem`, or `absent`.
        detail: What was found, and what to do.
    """

    topic: str
    name: str
    state: str
    detail: str


@dataclass(slots=True)
class Checkup:
    """All findings."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, topic: str, name: str, state: str, detail: str) -> None:
        """Note one."""
        self.findings.append(Finding(topic, name, state, detail))

    @property
    def is_well(self) -> bool:
        """Whether there is no problem."""
        return not any(finding.state == "problem" for finding in self.findings)


def examine() -> Checkup:
    """Look at this environment. The client libraries that are installed are imported, and hooked, here."""
    checkup = Checkup()
    checkup.add("versions", "tachograph", "ok", f"{__version__}, Python {platform.python_version()}")
    instrument()
    for name in MODULES:
        _client(checkup, name)
    _wire(checkup)
    _others(checkup)
    _exporters(checkup)
    for name, prove in PROOFS.items():
        if report.version_of(name) is not None:
            _prove(checkup, name, prove)
    if (report.version_of("mcp") or "0").partition(".")[0] >= "2":
        _prove_mcp(checkup)
    return checkup


def _client(checkup: Checkup, name: str) -> None:
    version = report.version_of(name)
    label = report.DISTRIBUTIONS[name]
    if version is None:
        checkup.add("versions", label, "absent", "not installed")
        return
    known = report.is_known_version(name)
    checkup.add("versions", label, "ok" if known else "warning", version + ("" if known else ", which we do not know"))
    for module in MODULES[name]:
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the installation
            if module == MODULES[name][0]:
                checkup.add("hooks", label, "problem", f"cannot be imported: {error}")
                return
    client = report.client(name)
    if client.hooked:
        checkup.add("hooks", label, "ok", ", ".join(client.hooked))
    else:
        checkup.add("hooks", label, "problem", "nothing of it is hooked: is it left out of instrument.clients?")
    for place, consequence in client.missing.items():
        checkup.add("hooks", label, "warning", f"no {place} in this version: {consequence}")


def _wire(checkup: Checkup) -> None:
    """Clients without hooks of their own, and whether the wire shows their calls."""
    for library, reason in unwatched.installed():
        if reason is None:
            seen = f"its calls to known hosts are seen in {' or '.join(unwatched.CLIENTS[library])}"
            checkup.add("wire", library, "ok", f"{seen}; add hosts by instrument.wire_hosts")
        else:
            checkup.add("wire", library, "problem", f"its calls are not seen: {reason}")


def _others(checkup: Checkup) -> None:
    active = other_instrumentation.active()
    for other in (*active, *other_instrumentation.frameworks()):
        checkup.add("others", other.name, "ok", other.meaning)
    # An environment may show one entry point several times: a package installed twice, or under two names.
    places = {entry.value: entry.name for entry in entry_points(group="opentelemetry_instrumentor")}
    for place, name in places.items():
        if name == "tachograph" or not any(word in place for word in ("openai", "anthropic", "genai", "mcp")):
            continue
        if not any(other.is_at(place) for other in active):
            checkup.add(
                "others",
                place,
                "ok",
                "installed; where it is active it records beside us, under its own names; ours counts each call once",
            )


def _exporters(checkup: Checkup) -> None:
    settings = runtime.get_settings()
    if not settings.enabled:
        checkup.add("exporters", "tachograph", "warning", "switched off by the setting `enabled`")
    metrics = settings.metrics
    if not metrics.enabled:
        checkup.add("exporters", "metrics", "warning", "switched off by metrics.enabled")
    elif metrics.port is not None:
        checkup.add("exporters", "metrics", "ok", f"served on http://{metrics.address}:{metrics.port}/metrics")
    else:
        checkup.add(
            "exporters",
            "metrics",
            "warning",
            "not served by the settings seen here (configure() in your code is not seen): set metrics.port, or mount "
            "tachograph.metrics_asgi_app()",
        )
    if metrics.multiprocess_dir:
        checkup.add("exporters", "worker processes", "ok", f"add up in {metrics.multiprocess_dir}")
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if settings.spans.enabled:
        where = f"OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint}" if endpoint else "no OTLP endpoint in the environment"
        checkup.add("exporters", "spans", "ok", f"go to whatever TracerProvider the application sets ({where})")
    if settings.spans.content:
        checkup.add("exporters", "content", "warning", "prompts and answers are recorded (spans.content)")
    ledger = getattr(settings, "ledger", None)
    if ledger is not None:
        where = ledger.url or ledger.data_dir or "SQLite in the platform's data directory"
        checkup.add("exporters", "ledger", "ok" if ledger.enabled else "warning", where if ledger.enabled else "off")


# The proof: a call with a hidden retry, against a simulator, seen as it was


def _openai(address: str) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key="doctor")
    client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Are you there?"}])


def _anthropic(address: str) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=address, api_key="doctor")
    client.messages.create(
        model="claude-opus-4-8", max_tokens=16, messages=[{"role": "user", "content": "Are you there?"}]
    )


def _gemini(address: str) -> None:
    from google import genai

    retry = genai.types.HttpRetryOptions(attempts=2, initial_delay=0.05, jitter=0)
    client = genai.Client(
        api_key="doctor",
        http_options={"base_url": address, "retry_options": retry},  # type: ignore[arg-type]
    )
    client.models.generate_content(model="gemini-2.5-flash", contents="Are you there?")


PROOFS: Final[dict[str, Callable[[str], None]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "google_genai": _gemini,
}


def _prove_mcp(checkup: Checkup) -> None:
    """One tool call to an MCP server in this process, seen from both sides."""
    import asyncio

    from tachograph.testing import recording

    async def ask() -> None:
        from mcp import Client
        from mcp.server import MCPServer

        server = MCPServer("doctor")

        @server.tool()
        def pulse() -> str:
            return "steady"

        async with Client(server) as client:
            await client.call_tool("pulse", {})

    try:
        with recording() as seen:
            instrument()
            asyncio.run(ask())
    except Exception as error:  # noqa: BLE001 - reported by the doctor
        checkup.add("proof", "mcp", "problem", f"a tool call to a server in this process failed: {error}")
        return
    sides = sorted(f"{call.side} {call.outcome}" for call in seen.tool_calls)
    if sides == ["client success", "server success"]:
        checkup.add("proof", "mcp", "ok", "one tool call was seen from the client and from inside the server")
    else:
        checkup.add("proof", "mcp", "problem", f"one tool call was made, and seen as {sides}")


def _prove(checkup: Checkup, name: str, call_it: Callable[[str], None]) -> None:
    from tachograph.instrument.checkup_server import COMPLETION_TOKENS, PROMPT_TOKENS, serving
    from tachograph.testing import recording

    label = report.DISTRIBUTIONS[name]
    try:
        with serving() as address, recording() as seen:
            instrument()
            call_it(address)
    except Exception as error:  # noqa: BLE001 - reported by the doctor
        checkup.add("proof", label, "problem", f"a call against a simulator failed: {type(error).__name__}: {error}")
        return
    if len(seen.llm_calls) != 1:
        checkup.add("proof", label, "problem", f"one call was made and {len(seen.llm_calls)} were recorded")
        return
    (call,) = seen.llm_calls
    found = call.usage and (call.usage.input_tokens, call.usage.output_tokens)
    outcomes = [attempt.outcome for attempt in call.attempts]
    if found != (PROMPT_TOKENS, COMPLETION_TOKENS) or outcomes != ["rate_limited", "success"]:
        checkup.add("proof", label, "problem", f"seen wrongly: tokens {found}, attempts {outcomes}")
        return
    tokens = f"{PROMPT_TOKENS} + {COMPLETION_TOKENS} tokens"
    waited = f"{call.rate_limit_wait_seconds:.2f} s"
    checkup.add("proof", label, "ok", f"one call: {tokens}, a hidden retry and its wait of {waited} were seen")
