"""The console's HTTP application: page, APIs and receiver behind one guard."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from tachograph.console.api import console as console_api
from tachograph.console.api import otlp, prometheus
from tachograph.console.console import Console
from tachograph.console.security import AccessGuard, problem
from tachograph.signals.exposition import respond

if TYPE_CHECKING:
    from tachograph.console.ingest.otlp.traces import Pricer
    from tachograph.settings import Settings

STATIC = Path(__file__).parent / "static"

# What a machine's own table says about .js is not always what browsers want.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("image/svg+xml", ".svg")
mimetypes.add_type("font/woff2", ".woff2")


class _Files(StaticFiles):
    """The page's files: always asked for again, and answered 304 when they have not changed."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - as Starlette's
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path.startswith("."):
            raise HTTPException(404)
        return await super().get_response(path, scope)


def build(
    console: Console,
    *,
    token: str,
    ticket: str = "",
    auth: str = "token",
    open_otlp: bool = True,
    hosts: Iterable[str] = (),
    cookie: str = "tachograph_session",
    settings: Settings | None = None,
    price: Pricer | None = None,
) -> ASGIApp:
    """Put the application together.

    Args:
        ticket: What the login link holds; good for one login.
        auth: `token` (log in to read) or `none`.
        open_otlp: OTLP senders need no token.
    """
    files = _Files(directory=STATIC, check_dir=False)

    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    async def favicon(request: Request) -> Response:
        return await files.get_response("icon.svg", request.scope)

    async def healthy(request: Request) -> Response:
        return PlainTextResponse("Tachograph console is Healthy.\n")

    async def metrics(request: Request) -> Response:
        collected = console.notifier.metrics.collect() if console.notifier is not None else ()
        answer = respond(collected, request.headers.get("accept"), request.headers.get("accept-encoding"))
        return Response(answer.body, headers=dict(answer.headers))

    routes: list[BaseRoute] = [
        Route("/", index, methods=["GET"]),
        Route("/favicon.ico", favicon, methods=["GET"]),
        Mount("/static", files),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/-/healthy", healthy, methods=["GET"]),
        Route("/-/ready", healthy, methods=["GET"]),
        *console_api.routes(console, auth=auth, settings=settings),
        *prometheus.routes(console),
        *otlp.routes(otlp.console_takers(console, price)),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_allowed, 500: _failed})
    return AccessGuard(
        app, token=token, ticket=ticket, open_reading=auth == "none", open_otlp=open_otlp, hosts=hosts, cookie=cookie
    )


async def _not_found(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return problem("there is nothing here", where=request.url.path[:200], status=404)
    return PlainTextResponse("There is nothing here.\n", status_code=404)


async def _not_allowed(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None)
    answer = problem(f"{request.method} is not possible here", where=request.url.path[:200], status=405)
    if headers:
        answer.headers.update(headers)
    return answer


async def _failed(request: Request, error: Exception) -> Response:
    return problem("the console failed at this", where=request.url.path[:200], do="Its log says why.", status=500)
