"""Starting the console: in this process on a thread (the demo), or as a command of its own."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tachograph.console.connections import bounded
from tachograph.errors import MissingExtraError, TachographError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from tachograph.console.console import Console
    from tachograph.console.ingest.ledger import LedgerFeed
    from tachograph.recorder import Recorder
    from tachograph.settings import Settings
    from tachograph.settings.ledger import LedgerSettings
    from tachograph.usage.stores.base import Store

DEFAULT_PORT = 9465
logger = logging.getLogger("tachograph.console")


@dataclass(slots=True)
class ServedConsole:
    """An application that is served on a thread of this process."""

    url: str
    port: int
    _server: uvicorn.Server
    _thread: threading.Thread
    _ended: threading.Event

    def close(self) -> None:
        """Stop serving; what is under way is answered first."""
        self._server.should_exit = True
        self._thread.join(10)

    def wait(self) -> None:
        """Wait until it is stopped.

        Not by `Thread.join`: up to Python 3.12 an interrupt in it marks the running thread as ended, so that `close`
        would not wait for it, and the interpreter would end while it runs.
        """
        while not self._ended.wait(0.5):
            pass


def serve(
    app: ASGIApp,
    listener: socket.socket,
    host: str,
    *,
    name: str,
    limit_concurrency: int = 256,
    has_lifespan: bool = False,
) -> ServedConsole:
    """Serve an application, within bounds, from a thread of this process.

    Args:
        listener: From `bind`.
        host: By which it was bound.
        has_lifespan: Whether the application has work of its own at the start and the end.
    """
    import uvicorn

    bound = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        log_config=None,  # uvicorn's loggers may be those of the application's own server
        access_log=False,
        lifespan="on" if has_lifespan else "off",
        server_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=limit_concurrency,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=64 * 1024,
    )
    config.load()
    config.http_protocol_class = bounded(config.http_protocol_class)
    server, ended = uvicorn.Server(config), threading.Event()

    def run() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            ended.set()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return ServedConsole(f"http://{f'[{shown}]' if ':' in shown else shown}:{bound}/", bound, server, thread, ended)


class Running(ABC):
    """A service that runs until it is closed; a context that closes it."""

    _served: ServedConsole

    @abstractmethod
    def close(self) -> None:
        """Stop serving, and write what is kept."""

    def wait(self) -> None:
        """Wait until it is stopped."""
        self._served.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class RunningConsole(Running):
    """A console that is being served.

    Attributes:
        url: Address of the page.
        login_url: The address that logs one browser in, once.
        token: For tools: `Authorization: Bearer ...`.
    """

    url: str
    login_url: str
    token: str
    port: int
    console: Console
    _served: ServedConsole

    def close(self) -> None:
        """Stop serving, and write what is queued."""
        self.console.close()
        self._served.close()


def start(
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    recorder: Recorder | None = None,
    scrape: Iterable[str] = (),
    prometheus: str | None = None,
    alertmanager: str | None = None,
    data_dir: Path | None = None,
    token: str | None = None,
    auth: bool = True,
    allow_hosts: Iterable[str] = (),
    settings: Settings | None = None,
    step_seconds: float = 5.0,
    retention_seconds: float = 6 * 3600,
    max_series: int = 20_000,
    max_calls: int = 500_000,
    rules: bool = True,
    service: str = "",
    ledger: LedgerSettings | None = None,
) -> RunningConsole:
    """Serve the console from a thread of this process.

    Args:
        host: Where to listen. Anything but loopback needs a token, for reading and for OTLP.
        port: 0 takes a free one.
        recorder: Show this recorder's metrics and calls.
        scrape: URLs of /metrics to scrape.
        prometheus: Ask this Prometheus for metrics instead.
        alertmanager: Silence alerts in this Alertmanager too.
        data_dir: Where calls are kept; None keeps them in memory.
        token: The secret; a random one unless given.
        auth: False lets anyone on this machine read (loopback only).
        allow_hosts: Names, beside addresses and localhost, under which it may be asked.
        rules: Evaluate the catalogue's rules.
        ledger: Copy calls from the ledger that these settings name.

    Raises:
        MissingExtraError: The extra `console` is not installed.
        TachographError: The port is taken, or a setting is not safe.
    """
    check_installed()
    from tachograph.console.api import catalogue
    from tachograph.console.app import build
    from tachograph.console.console import Console

    loopback = is_loopback(host)
    if not loopback and not auth:
        raise TachographError(
            "a console that others can reach needs a token",
            where=f"listening on {host}",
            do="Leave --no-auth away, or listen on 127.0.0.1.",
        )
    if token is not None and len(token) < 16:
        raise TachographError("the token is shorter than 16 characters", where="--token", do="Use a long random one.")
    listener = bind(host, port)
    secret, ticket = token or secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    console = Console(
        scrape=scrape,
        prometheus_url=prometheus,
        alertmanager_url=alertmanager,
        data_dir=data_dir,
        rule_groups=catalogue.rule_groups(settings, keeps_recorded=prometheus is None) if rules else (),
        step_seconds=step_seconds,
        retention_seconds=retention_seconds,
        max_series=max_series,
        max_calls=max_calls,
        job=_job(settings),
        service=service,
        settings=settings,
    )
    if recorder is not None:
        console.listen(recorder)
    if ledger is not None:
        console.read_ledger(_ledger_feed(ledger, console))
    app = build(
        console,
        token=secret,
        ticket=ticket,
        auth="token" if auth else "none",
        open_otlp=loopback,
        hosts=[*allow_hosts, host],
        cookie=f"tachograph_session_{listener.getsockname()[1]}",
        settings=settings,
        price=console.pricer,
    )
    served = serve(app, listener, host, name="tachograph-console")
    console.start()
    login_url = f"{served.url}login?ticket={ticket}" if auth else served.url
    return RunningConsole(served.url, login_url, secret, served.port, console, served)


def check_installed() -> None:
    """Refuse where the console's packages are missing.

    Raises:
        MissingExtraError: The extra `console` is not installed.
    """
    try:
        import numpy  # noqa: F401
        import promql_parser  # noqa: F401
        import re2  # type: ignore[import-untyped]  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("the console", "console", str(error.name)) from None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes a free one.

    Raises:
        TachographError: The port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise TachographError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            do="Stop what uses the port, or choose another port (0 takes a free one).",
        ) from None
    listener.listen(256)
    return listener


def _job(settings: Settings | None) -> str:
    from tachograph.settings import Settings

    job: str = (settings or Settings()).alerts.job
    return job.split("|")[0]


def _ledger_feed(settings: LedgerSettings, console: Console) -> LedgerFeed:
    """A reader of the ledger that these settings name."""
    from tachograph.console.ingest.ledger import LedgerFeed
    from tachograph.usage.ledger_paths import LedgerPaths
    from tachograph.usage.stores.open import open_store, store_class

    place = LedgerPaths(settings)
    url = place.url
    with suppress(MissingExtraError):  # the page says so
        store_class(url)

    def open_for_reading() -> Store:
        return open_store(
            url,
            rollup_labels=settings.rollup_labels,
            timeout_seconds=settings.timeout_seconds,
            read_only=True,
            create=False,
        )

    def ask() -> None:
        if place.journals.is_dir():
            place.ask_for_flush()

    return LedgerFeed(url, open_for_reading, console.calls, settings.rollup_labels, ask)
