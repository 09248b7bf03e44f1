"""Asks a console for the page's answers, for programs: the one that runs, or one started here out of the ledger."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from tachograph.errors import TachographError
from tachograph.urls import body_of_refusal, split

if TYPE_CHECKING:
    import argparse

    from tachograph.console.server import RunningConsole

DEFAULT_URL: Final = "http://127.0.0.1:9465/"
_MOST: Final = 16 * 1024 * 1024


class Reader:
    """Reads from one console.

    Args:
        url: Its address.
        token: Its secret; "" where it lets anyone read.
        own: The console of this process that it was started for; closed with the reader.
    """

    def __init__(self, url: str, token: str = "", own: RunningConsole | None = None) -> None:
        parts = split(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            do = f"Give an address such as {DEFAULT_URL}."
            raise TachographError(f"{url!r} is not the address of a console", where="--console", do=do)
        self.url = parts.geturl().rstrip("/") + "/"
        self._token = token
        self._own = own
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, **parameters: object) -> dict[str, Any]:
        """Ask `/api/...` and return the JSON answer; parameters that are None or empty are left out.

        Raises:
            TachographError: The console does not answer, or refuses.
        """
        chosen = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
        address = f"{self.url}api/{path}" + (f"?{urllib.parse.urlencode(chosen)}" if chosen else "")
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with self._opener.open(urllib.request.Request(address, headers=headers), timeout=30) as answer:
                found = json.loads(answer.read(_MOST))
        except urllib.error.HTTPError as error:
            raise _refused(error, self.url) from None
        except (ValueError, RecursionError, http.client.HTTPException):
            raise _no_console(self.url) from None
        except OSError as error:
            raise TachographError(
                f"no console answers: {getattr(error, 'reason', error)}",
                where=self.url,
                do="Start one with `tachograph console`, or give its address with --console URL.",
            ) from None
        if not isinstance(found, dict):
            raise _no_console(self.url)
        return found

    def close(self) -> None:
        """Close the console that was started for it."""
        if self._own is not None:
            self._own.close()


def _no_console(url: str) -> TachographError:
    do = "Give the console's address with --console URL."
    return TachographError("what answers there is not a console", where=url, do=do)


def _refused(error: urllib.error.HTTPError, url: str) -> TachographError:
    try:
        given = json.loads(body_of_refusal(error, _MOST))["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        given = f"HTTP {error.code}"
    if error.code == 401:
        do = "Give its token with --token, or set TACHOGRAPH_CONSOLE_TOKEN."
        return TachographError("the console does not know this token", where=url, do=do)
    if isinstance(given, dict):
        return TachographError(
            str(given.get("what")), where=str(given.get("where") or url), do=str(given.get("do") or "")
        )
    return TachographError(f"no answer of a console: {given}", where=url, do="Check the address given with --console.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which console is asked."""
    parser.add_argument("--console", metavar="URL", help=f"the console to ask (default: {DEFAULT_URL} if one is there)")
    parser.add_argument("--token", metavar="TOKEN", help="its token (or TACHOGRAPH_CONSOLE_TOKEN)")


def open_reader(url: str | None, token: str | None) -> Reader:
    """The console asked for, or the one at the usual port, or one of this process that reads the configured ledger.

    Raises:
        TachographError: There is no console and no ledger.
    """
    import os

    secret = token or os.environ.get("TACHOGRAPH_CONSOLE_TOKEN", "")
    reader = Reader(url or DEFAULT_URL, secret)
    try:
        if "retention_seconds" not in reader.get("console/status"):
            raise _no_console(reader.url)
    except TachographError as error:
        if url is not None or "token" in str(error):
            raise
        return _own()
    return reader


def _own() -> Reader:
    from tachograph.console import start
    from tachograph.settings import load
    from tachograph.usage.ledger_paths import configured_ledger

    settings = load()
    ledger = configured_ledger(settings.ledger)
    if ledger is None:
        raise TachographError(
            "there is no console and no usage ledger to read",
            where=DEFAULT_URL,
            do="Start `tachograph console`, give --console URL, or run an application with `tachograph run`.",
        )
    running = start(port=0, settings=settings, ledger=ledger)
    if running.console.ledger is not None:
        running.console.ledger.look()
    return Reader(running.url, running.token, running)
