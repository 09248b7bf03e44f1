"""A real Alertmanager with our routes and a receiver that writes down what would have paged."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import parts
from support.prometheus import free_port, poll
from tachograph.catalogue.export import yaml
from tachograph.catalogue.export.alertmanager import config
from tachograph.drill.receiver import ReceivedNotification, Receiver


class Alertmanager:
    """A running server.

    Attributes:
        url: Its root.
        receiver: What it sent.
    """

    def __init__(self, url: str, receiver: Receiver) -> None:
        self.url = url
        self.receiver = receiver

    def post(self, alerts: list[dict[str, str]]) -> None:
        """Say that these alerts fire, as Prometheus does: all at once."""
        body = json.dumps([{"labels": labels, "annotations": {}} for labels in alerts]).encode()
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts", body, {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200

    def sent(self, receiver: str) -> list[ReceivedNotification]:
        """Notifications to one receiver, so far."""
        return [one for one in self.receiver.notifications if one.receiver == receiver]


@contextmanager
def alertmanager(group_wait: str = "1s") -> Iterator[Alertmanager]:
    """Start one on a private port; our routes, with a shorter wait."""
    program = parts.program("alertmanager", "prometheus-alertmanager")
    receiver = Receiver()
    receiver.start()
    with tempfile.TemporaryDirectory(prefix="tachograph-alertmanager-") as name:
        directory = Path(name)
        routes = config(
            *(receiver.url(kind) for kind in ("page", "ticket", "note", "watchdog")),
            group_wait=group_wait,
            group_interval="1s",
        )
        (directory / "alertmanager.yml").write_text(yaml.dump(routes), "utf-8")
        url = f"http://127.0.0.1:{free_port()}"
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={directory / 'alertmanager.yml'}",
                    f"--storage.path={directory / 'data'}",
                    f"--web.listen-address={url.removeprefix('http://')}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            poll(lambda: is_ready(url), 60, "Alertmanager becomes ready")
            yield Alertmanager(url, receiver)
        finally:
            process.terminate()
            process.wait(60)
            receiver.close()


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for_silence(server: Alertmanager, receiver: str, seconds: float = 60) -> None:
    """Until something came for this receiver, and then until two group intervals have passed without more."""
    poll(lambda: server.sent(receiver), seconds, f"a notification for {receiver}")
    poll(lambda: time.time() - server.receiver.notifications[-1].unix > 2, seconds, "silence")
