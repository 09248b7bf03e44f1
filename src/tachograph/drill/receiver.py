"""A webhook receiver that writes down what would have paged whom."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class ReceivedNotification:
    """One notification that Alertmanager sent.

    Attributes:
        unix: When it came.
        receiver: The last part of the webhook's path: page, ticket, note or watchdog.
        status: firing or resolved.
        alerts: (alertname, status) of each alert in it.
        group: Alertmanager's key of the group that it is about.
    """

    unix: float
    receiver: str
    status: str
    alerts: tuple[tuple[str, str], ...]
    group: str = ""


@dataclass
class Receiver:
    """Listens on a free port of 127.0.0.1 from `start()` to `close()`."""

    notifications: list[ReceivedNotification] = field(default_factory=list)

    def start(self) -> None:
        """Begin to listen."""
        received = self.notifications

        class ReceiverHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
                received.append(_notification(self.path.rsplit("/", 1)[-1], body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the timeline says it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), ReceiverHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, name: str) -> str:
        """Where notifications for this receiver go."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _notification(receiver: str, body: dict[str, Any]) -> ReceivedNotification:
    alerts = tuple(
        (str(alert.get("labels", {}).get("alertname", "")), str(alert.get("status", "")))
        for alert in body.get("alerts", [])
    )
    return ReceivedNotification(
        time.time(), receiver, str(body.get("status", "")), alerts, str(body.get("groupKey", ""))
    )
