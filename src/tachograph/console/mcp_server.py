"""The console as an MCP server: read-only tools for on-call agents, with the page's own answers."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

from tachograph.console.reader import Reader
from tachograph.console.views import phrases
from tachograph.errors import MissingExtraError, TachographError
from tachograph.version import __version__

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tachograph.console.server import ServedConsole

INSTRUCTIONS = (
    "What Tachograph recorded of an application's calls to LLM providers and MCP tools. Ask `now` first: it says in "
    "one sentence what is wrong and since when. Then `incident` for an alert, `calls` and `errors` for "
    "single failures, `run` for an agent's run, `cost` for money. Every tool only reads."
)

MOST_SPANS: Final = 200
"""Of a longer run, an agent reads the failed spans and the first ones."""

P = ParamSpec("P")
R = TypeVar("R")
Outcome = Literal["", "success", "error", "timeout", "rate_limited", "cancelled"]
Order = Literal["time", "duration", "cost", "first_token", "wait", "input", "cached", "output", "attempts"]


class Tools:
    """The tools; each public method is one, its docstring what the agent reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def now(self, minutes: float = 15) -> dict[str, Any]:
        """What is wrong now and since when, in one sentence, with tiles, and providers and MCP servers by trouble."""
        answer: dict[str, Any] = self._reader.get("console/now", **_since(minutes))
        answer["sentence"]["text"] = answer["sentence"].pop("plain")
        for trouble in answer["troubles"]:
            since, until = phrases.clock(trouble["since"]), phrases.clock(trouble["until"])
            trouble["text"] = trouble["text"].replace("{since}", since).replace("{until}", until)
        for tile in answer["tiles"]:
            del tile["line"], tile["ghost"]
        for table in ("providers", "servers"):
            for row in answer[table]["rows"]:
                del row["line"], row["bad_line"]
        return answer

    def alerts(self, state: Literal["active", "all"] = "active") -> dict[str, Any]:
        """Alert rules with their state; `state` is active (pending or firing) or all."""
        found = self._reader.get("console/alerts")["alerts"]
        return {"alerts": [rule for rule in found if state == "all" or rule["state"] != "inactive"]}

    def incident(self, alert: str) -> dict[str, Any]:
        """One alert: what it hits, whose fault it is by evidence, failing calls by error, timeline, live queries."""
        answer: dict[str, Any] = self._reader.get(f"console/incidents/{_quoted(alert)}")
        answer.pop("runbook")
        for event in answer["timeline"]:
            if "until" in event:
                event["text"] = event["text"].replace("{until}", phrases.clock(event.pop("until")), 1)
        return answer

    def runbook(self, alert: str) -> str:
        """The runbook of an alert, as Markdown."""
        return str(self._reader.get(f"console/runbooks/{_quoted(alert)}")["markdown"])

    def calls(
        self, minutes: float = 60, provider: str = "", model: str = "", server: str = "", tool: str = "",
        outcome: Outcome = "", error: str = "", text: str = "", sort: Order = "time", limit: int = 20,
    ) -> dict[str, Any]:  # fmt: skip
        """Single calls, newest or largest first; `text` searches errors, names, ids. Empty fields are left out."""
        answer: dict[str, Any] = self._reader.get(
            "console/calls", **_since(minutes), provider=provider, model=model, server=server, tool=tool,
            outcome=outcome, error=error, q=text, sort=sort, limit=min(max(limit, 1), 200),
        )  # fmt: skip
        answer["calls"] = [_lean(call) for call in answer["calls"]]
        return answer

    def call(self, id: str) -> dict[str, Any]:
        """One call with its attempts, the error's text, and how its cost comes about."""
        answer: dict[str, Any] = self._reader.get(f"console/calls/{_quoted(id)}")
        return answer

    def errors(self, minutes: float = 60, provider: str = "", model: str = "") -> dict[str, Any]:
        """Failed calls grouped by what their error texts have in common, the most frequent first."""
        answer: dict[str, Any] = self._reader.get(
            "console/explore", **_since(minutes), what="errors", provider=provider, model=model
        )
        return answer

    def run(self, id: str) -> dict[str, Any]:
        """An agent's run, or a trace, as a tree of spans with totals."""
        answer: dict[str, Any] = self._reader.get(f"console/runs/{_quoted(id)}")
        answer.pop("calls", None)
        spans = [_lean(span) for span in answer["tree"]]
        if len(spans) > MOST_SPANS:
            kept = sorted(range(len(spans)), key=lambda place: (not spans[place].get("failed"), place))[:MOST_SPANS]
            answer["spans_left_out"] = len(spans) - MOST_SPANS
            spans = [spans[place] for place in sorted(kept)]
        answer["tree"] = spans
        return answer

    def cost(self, minutes: float = 1440) -> dict[str, Any]:
        """Money: spent, forecast, budgets, why it changed, who spends it, waste, calls without a price."""
        answer: dict[str, Any] = self._reader.get("console/money", **_since(minutes))
        return answer

    def metrics(self, query: str) -> dict[str, Any]:
        """An instant PromQL query over the console's metrics, or those of the Prometheus behind it."""
        answer: dict[str, Any] = self._reader.get("v1/query", query=query)["data"]
        return answer


def _lean(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something: an agent pays for each word that it reads."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _since(minutes: float) -> dict[str, float]:
    at = time.time()
    return {"from": at - 60 * min(max(minutes, 1), 60 * 24 * 40), "to": at}


def _telling(tool: Callable[P, R], failure: type[Exception]) -> Callable[P, R]:
    """The tool with its errors as the one kind of exception whose text reaches the agent."""

    @wraps(tool)
    def ask(*args: P.args, **given: P.kwargs) -> R:
        try:
            return tool(*args, **given)
        except TachographError as error:
            raise failure(str(error)) from None

    return ask


def build(reader: Reader) -> MCPServer[Any]:
    """The server with its tools.

    Raises:
        MissingExtraError: The extra `mcp` is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp_types import ToolAnnotations
    except ImportError as error:
        raise MissingExtraError("the MCP server", "mcp", str(error.name)) from None

    server: MCPServer[Any] = MCPServer(
        "tachograph", instructions=INSTRUCTIONS, version=__version__, log_level="CRITICAL"
    )
    reading = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    tools = Tools(reader)
    for name in vars(Tools):
        if not name.startswith("_"):
            server.add_tool(_telling(getattr(tools, name), ToolError), annotations=reading)
    return server


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text[:200], safe="")


class WithToken:
    """Lets a request pass that brings the console's token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            if not hmac.compare_digest(sent.encode(), f"Bearer {self._token}".encode()):
                from tachograph.console.security import problem

                do = "Send Authorization: Bearer TOKEN with the console's token."
                await problem("this client is not known", where="header Authorization", do=do, status=401)(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)


def serve_http(reader: Reader, host: str, port: int, token: str) -> ServedConsole:
    """Serve over streamable HTTP at /mcp, with the console's bounds on connections.

    Raises:
        TachographError: The port is taken.
    """
    from tachograph.console.server import bind, serve

    listener = bind(host, port)
    app = WithToken(build(reader).streamable_http_app(stateless_http=True, json_response=True, host=host), token)
    return serve(app, listener, host, name="tachograph-mcp", has_lifespan=True)
