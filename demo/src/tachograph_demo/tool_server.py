"""The workshop's server process: an MCP server over streamable HTTP whose tools go wrong on demand.

`python -m tachograph_demo.workshop_server` prints one line of JSON with its address and serves until its stdin
closes or a signal ends it. `POST /control` changes how it behaves (see `Behaviour`), `GET /control` shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.option_values import number, port, seed


@dataclass(kw_only=True)
class Behaviour:
    """How a tool (or, under the name `*`, every tool) behaves.

    Attributes:
        slow_seconds: Waited before the tool's work.
        fail: Share of calls that end in an error result, 0 to 1.
        hang: Never answer.
        crash: End the process during the call.
        refuse_status: Answer the HTTP request with this status before it reaches the tool.
        times: Calls this holds for; None: until changed.
    """

    slow_seconds: float = 0.0
    fail: float = 0.0
    hang: bool = False
    crash: bool = False
    refuse_status: int | None = None
    times: int | None = None


class Behaviours:
    """What has been asked for by tool name."""

    def __init__(self) -> None:
        self.by_tool: dict[str, Behaviour] = {}

    def set(self, tool: str, behaviour: Behaviour | None) -> None:
        if behaviour is None:
            self.by_tool.pop(tool, None)
        else:
            self.by_tool[tool] = behaviour

    def take(self, tool: str, *, refusal: bool) -> Behaviour | None:
        """The behaviour of this call, counted down if it holds for a number of calls."""
        for name in (tool, "*"):
            found = self.by_tool.get(name)
            if found is None or (found.refuse_status is not None) != refusal:
                continue
            if found.times is not None:
                found.times -= 1
                if found.times <= 0:
                    del self.by_tool[name]
            return found
        return None


_CITIES = ("Ulm", "Porto", "Aarhus", "Lviv", "Turku", "Gent")
_STATES = ("packed", "sent", "delivered", "returned")


async def _work(
    behaviours: Behaviours, seed: int, ordinary_failures: float, tool: str, *arguments: object
) -> random.Random:
    """What a tool does before it answers: it misbehaves as it was configured to, and takes its time."""
    rng = random.Random(f"{seed}/{tool}/{arguments}")
    behaviour = behaviours.take(tool, refusal=False)
    if behaviour is not None:
        if behaviour.crash:
            os._exit(70)
        if behaviour.hang:
            await asyncio.Event().wait()
        if behaviour.slow_seconds:
            await asyncio.sleep(behaviour.slow_seconds)
        if random.random() < behaviour.fail:
            raise ToolError(f"{tool}: the back office does not answer")
    await asyncio.sleep(rng.uniform(0.004, 0.06))
    if random.random() < ordinary_failures:
        raise ToolError(f"{tool}: the back office is busy, try again")
    return rng


def make_server(behaviours: Behaviours, seed: int, ordinary_failures: float = 0.0) -> MCPServer:
    """The MCP server with its tools; every answer comes out of the seed and the arguments."""
    server = MCPServer(
        "workshop", instructions="A small shop's back office: orders, refunds, tickets.", log_level="CRITICAL"
    )

    async def work(tool: str, *arguments: object) -> random.Random:
        return await _work(behaviours, seed, ordinary_failures, tool, *arguments)

    @server.tool()
    async def search_orders(query: str, limit: int = 5) -> list[dict[str, Any]]:
        """Find a customer's orders by name, city or article."""
        rng = await work("search_orders", query, limit)
        return [
            {
                "order_id": f"A-{rng.randint(1000, 9999)}",
                "city": rng.choice(_CITIES),
                "state": rng.choice(_STATES),
                "total_eur": round(rng.uniform(8, 240), 2),
            }
            for _ in range(max(1, min(limit, 20)))
        ]

    @server.tool()
    async def quote_refund(order_id: str, reason: str) -> dict[str, Any]:
        """What a customer would get back for an order."""
        rng = await work("quote_refund", order_id, reason)
        if not order_id.startswith("A-"):
            raise ToolError(f"there is no order {order_id!r}: order numbers begin with A-")
        return {"order_id": order_id, "refund_eur": round(rng.uniform(5, 120), 2), "needs_approval": rng.random() < 0.2}

    @server.tool()
    async def weather(city: str, days: int = 1) -> list[dict[str, Any]]:
        """The forecast for a city, for planning deliveries."""
        rng = await work("weather", city, days)
        return [{"day": d, "high_c": rng.randint(-5, 32), "rain_mm": rng.randint(0, 20)} for d in range(min(days, 10))]

    @server.tool()
    async def summarise_ticket(ticket_id: str) -> str:
        """What a support ticket is about, in a few words."""
        rng = await work("summarise_ticket", ticket_id)
        mood = rng.choice(("angry", "patient", "puzzled"))
        return f"{ticket_id}: a {mood} customer from {rng.choice(_CITIES)} waits for an answer since Monday."

    @server.tool()
    async def stock_level(article: str) -> dict[str, Any]:
        """How many pieces of an article are in the warehouse."""
        rng = await work("stock_level", article)
        return {"article": article, "pieces": rng.randint(0, 400)}

    return server


ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


def make_app(behaviours: Behaviours, seed: int, ordinary_failures: float = 0.0) -> ASGIApp:
    """The MCP endpoint at /mcp, behind the refusals, and /control beside it."""
    server = make_server(behaviours, seed, ordinary_failures)

    async def control(request: Request) -> Response:
        if request.method == "POST":
            change = await request.json()
            tool = change.pop("tool", "*")
            behaviours.set(tool, Behaviour(**change) if change else None)
        return JSONResponse({tool: asdict(b) for tool, b in behaviours.by_tool.items()})

    server.custom_route("/control", methods=["GET", "POST"])(control)
    inner = server.streamable_http_app()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp" or scope["method"] != "POST":
            await inner(scope, receive, send)
            return
        body, receive = await _read(receive)
        refusal = behaviours.take(_tool_of(body), refusal=True) if b"tools/call" in body else None
        if refusal is not None:
            status = refusal.refuse_status or 500
            await JSONResponse({"error": f"refused with {status}"}, status_code=status)(scope, receive, send)
            return
        await inner(scope, receive, send)

    return app


async def _read(receive: Any) -> tuple[bytes, Any]:
    """The request's body, and a `receive` that returns it again and then what the real one returns."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    told = False

    async def again() -> Any:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def _tool_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["params"]["name"])
    except (ValueError, KeyError, TypeError):
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tachograph_demo.workshop_server", description=__doc__)
    parser.add_argument("--port", type=port, default=0)
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--ordinary-failures", type=number(0, 1), default=0.0, help="share of calls that fail anyway")
    options = parser.parse_args()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", options.port))
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(Behaviours(), options.seed, options.ordinary_failures),
            log_level="critical",
            timeout_graceful_shutdown=1,
            lifespan="on",
        )
    )

    def watch_stdin() -> None:
        # Not sys.stdin: its lock, held by this thread, would make the interpreter abort at its end.
        while os.read(0, 1024):
            continue
        server.should_exit = True

    def end(*_: object) -> None:
        server.should_exit = True

    # Ctrl-C in a terminal reaches the whole process group; the parent ends us by closing our stdin.
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=watch_stdin, daemon=True).start()
    listening.listen(128)
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", "pid": os.getpid()}), flush=True)
    server.run(sockets=[listening])


class _NoSignals:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _no_signals() -> Any:
    return _NoSignals()


if __name__ == "__main__":
    main()
