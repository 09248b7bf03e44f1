"""The service: OTLP/HTTP and /metrics behind the console's guard, on a thread of this process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tachograph.collect.intake import Intake
from tachograph.console.api import otlp
from tachograph.console.security import AccessGuard
from tachograph.console.server import Running, ServedConsole, bind, is_loopback, serve
from tachograph.errors import SettingsError, TachographError
from tachograph.runtime import build
from tachograph.signals.exposition import respond
from tachograph.signals.families import COLLECT_FAMILIES
from tachograph.usage.ledger import Ledger

if TYPE_CHECKING:
    from tachograph.recorder import Recorder
    from tachograph.settings import Settings

DEFAULT_PORT = 4318
MAX_CONNECTIONS = 256


@dataclass
class RunningCollector(Running):
    """A collector that is being served.

    Attributes:
        url: What to set OTEL_EXPORTER_OTLP_ENDPOINT to.
        recorder: Its metrics and its ledger.
    """

    url: str
    recorder: Recorder
    ledger: Ledger
    _intake: Intake
    _served: ServedConsole

    def close(self) -> None:
        """Answer what is under way, store what is kept, and stop."""
        self._served.close()
        self._intake.close()
        self.ledger.close()


def start(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    token: str | None = None,
    allow_hosts: Iterable[str] = (),
) -> RunningCollector:
    """Serve the collector from a thread of this process.

    Args:
        settings: Its ledger, prices, budgets, labels and rules.
        host: Where to listen. Anything but loopback needs a token.
        port: 0 takes a free one.
        token: The secret that senders and Prometheus show; None: everybody on this machine may send and read.
        allow_hosts: Names, beside addresses and localhost, by which it may be asked.

    Raises:
        TachographError: The port is taken, or a setting is not safe.
    """
    if not is_loopback(host) and token is None:
        raise TachographError(
            "a collector that others can reach needs a token",
            where=f"listening on {host}",
            do="Give --token, or set TACHOGRAPH_CONSOLE_TOKEN, to a long random text.",
        )
    listener = bind(host, port)
    try:
        recorder, ledger = _recorder(settings)
    except BaseException:
        listener.close()
        raise
    intake = Intake(recorder, ledger)
    app = AccessGuard(
        _app(recorder, intake),
        token=token or "",
        open_reading=token is None,
        open_otlp=token is None,
        hosts=[*allow_hosts, host],
    )
    served = serve(app, listener, host, name="tachograph-collect", limit_concurrency=MAX_CONNECTIONS)
    return RunningCollector(served.url.rstrip("/"), recorder, ledger, intake, served)


def _recorder(settings: Settings) -> tuple[Recorder, Ledger]:
    """A recorder as the settings say, without spans of its own, and its ledger.

    Raises:
        SettingsError: There is no ledger that keeps through the death of the process.
    """
    if settings.ledger.mode == "memory" or not (settings.enabled and settings.ledger.enabled):
        raise SettingsError(
            "the collector needs a ledger that outlives it",
            where="settings enabled, ledger.enabled and ledger.mode",
            do='Set enabled = true, ledger.enabled = true and ledger.mode = "journal".',
        )
    quiet = structs.replace(
        settings,
        spans=structs.replace(settings.spans, enabled=False),
        otlp=structs.replace(settings.otlp, traces=False),
    )
    recorder = build(quiet)
    for family in COLLECT_FAMILIES:
        recorder.metrics.register(family)
    ledger = recorder.ledger
    if not isinstance(ledger, Ledger) or ledger.settings.mode == "memory":
        raise TachographError("the collector needs journals, which this system has not", do="Run it on Linux or macOS.")
    return recorder, ledger


def _app(recorder: Recorder, intake: Intake) -> Starlette:
    async def metrics(request: Request) -> Response:
        answer = respond(
            recorder.metrics.collect(), request.headers.get("accept"), request.headers.get("accept-encoding")
        )
        return Response(answer.body, headers=dict(answer.headers))

    async def healthy(request: Request) -> Response:
        return PlainTextResponse("Tachograph collector is healthy.\n")

    return Starlette(
        routes=[
            Route("/metrics", metrics, methods=["GET"]),
            Route("/-/healthy", healthy, methods=["GET"]),
            Route("/-/ready", healthy, methods=["GET"]),
            *otlp.routes(intake.takers()),
        ]
    )
