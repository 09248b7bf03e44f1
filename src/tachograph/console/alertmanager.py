"""Silences of an Alertmanager: what it keeps quiet is shown as silenced here, and a silence made here is made there."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any, Final

from tachograph.errors import TachographError

LOOK_SECONDS: Final = 5.0
MAKER: Final = "tachograph console"
_MOST_BYTES: Final = 8 * 1024 * 1024


class Alertmanager:
    """One Alertmanager, by its API v2.

    Attributes:
        error: Why it did not answer the last time, or "".
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self.error = ""
        self._timeout = timeout
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._lock = threading.Lock()
        self._known: list[dict[str, Any]] = []
        self._looked = float("-inf")

    def silences(self) -> list[dict[str, Any]]:
        """The silences that hold now; what was known last, where it does not answer. Asked every few seconds."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._looked = time.monotonic()
                try:
                    found = self._ask("GET", "/api/v2/silences")
                    self._known = [one for one in found if one["status"]["state"] == "active"]
                    self.error = ""
                except TachographError as error:
                    self.error = str(error)
            return self._known

    def silenced_until(self, alert: str) -> float | None:
        """Until when every alert of this name is silenced, in seconds since 1970; None when not all are."""
        ends = [
            datetime.fromisoformat(one["endsAt"]).timestamp()
            for one in self.silences()
            if all(m["name"] == "alertname" and _matches(m, alert) for m in one["matchers"])
        ]
        return max(ends, default=None)

    def silence(self, alert: str, seconds: float, comment: str = "") -> None:
        """Silence every alert of this name for a time; 0 ends the silences of this name that were made here.

        Raises:
            TachographError: It does not answer, or refuses.
        """
        if seconds <= 0:
            for one in self._ask("GET", "/api/v2/silences"):
                if one["status"]["state"] == "active" and one["createdBy"] == MAKER and _is_of(one, alert):
                    self._ask("DELETE", f"/api/v2/silence/{one['id']}")
        else:
            now = time.time()
            matcher = {"name": "alertname", "value": alert, "isRegex": False, "isEqual": True}
            starts, ends = (datetime.fromtimestamp(at, UTC).isoformat() for at in (now, now + seconds))
            body = {"matchers": [matcher], "startsAt": starts, "endsAt": ends, "createdBy": MAKER}
            self._ask("POST", "/api/v2/silences", {**body, "comment": comment or "silenced in the console"})
        with self._lock:
            self._looked = float("-inf")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json", "Accept": "application/json"}, method=method
        )
        do = "Check the address given with --alertmanager, and that it runs."
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                text = answer.read(_MOST_BYTES)
                return json.loads(text) if text.strip() else None
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            raise TachographError(
                f"the Alertmanager refuses: HTTP {error.code} {said}", where=self.url, do=do
            ) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise TachographError(f"the Alertmanager does not answer: {why}", where=self.url, do=do) from None


def _is_of(silence: dict[str, Any], alert: str) -> bool:
    return [(m["name"], m["value"]) for m in silence["matchers"]] == [("alertname", alert)]


def _matches(matcher: dict[str, Any], alert: str) -> bool:
    if matcher["isRegex"]:
        return False  # may hit more than this name; Alertmanager says so itself
    return bool((matcher["value"] == alert) == matcher.get("isEqual", True))
