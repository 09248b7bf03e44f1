"""Silences of an Alertmanager: what they keep quiet is shown so here, and a silence made here is made there."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any, Final

from tachograph.console.notes import Silence, matchers_of
from tachograph.console.promql.matchers import EQUAL, MATCH, NOT_EQUAL, NOT_MATCH, LabelMatcher
from tachograph.errors import TachographError
from tachograph.urls import body_of_refusal

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
        self._known: tuple[Silence, ...] = ()
        self._looked = float("-inf")

    def silences(self) -> tuple[Silence, ...]:
        """The silences that hold now; what was known last, where it does not answer. Asked every few seconds."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._looked = time.monotonic()
                try:
                    self._known = tuple(silence for _, silence in self._active())
                    self.error = ""
                except TachographError as error:
                    self.error = str(error)
            return self._known

    def silence(self, alert: str, seconds: float, comment: str = "", where: str = "") -> None:
        """Silence the alerts of this name for a time; 0 ends what was made here: with `where` that, else all of it.

        Args:
            where: Further matchers, as PromQL writes them.

        Raises:
            TachographError: It does not answer, or refuses.
        """
        matchers = matchers_of(alert, where)
        if seconds <= 0:
            for id, silence in self._active():
                wanted = set(silence.matchers) == set(matchers) if where else matchers[0] in silence.matchers
                if silence.by == MAKER and wanted:
                    self._ask("DELETE", f"/api/v2/silence/{id}")
        else:
            now = time.time()
            starts, ends = (datetime.fromtimestamp(at, UTC).isoformat() for at in (now, now + seconds))
            said = [
                {"name": m.name, "value": m.value, "isRegex": m.op in (MATCH, NOT_MATCH),
                 "isEqual": m.op in (EQUAL, MATCH)}
                for m in matchers
            ]  # fmt: skip
            body = {"matchers": said, "startsAt": starts, "endsAt": ends, "createdBy": MAKER}
            self._ask("POST", "/api/v2/silences", {**body, "comment": comment or "silenced in the console"})
        with self._lock:
            self._looked = float("-inf")

    def _active(self) -> list[tuple[str, Silence]]:
        """The silences that hold now, by id."""
        found = self._ask("GET", "/api/v2/silences")
        try:
            if not isinstance(found, list):
                raise TypeError("not a list of silences")
            return [(str(one["id"]), _silence(one)) for one in found if one["status"]["state"] == "active"]
        except (ValueError, LookupError, TypeError, OverflowError):
            do = "Check the address given with --alertmanager."
            raise TachographError("what answers there is not an Alertmanager", where=self.url, do=do) from None

    def _ask(self, method: str, path: str, body: object = None) -> Any:
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
            said = body_of_refusal(error, 500).decode("utf-8", "replace")
            raise TachographError(
                f"the Alertmanager refuses: HTTP {error.code} {said}", where=self.url, do=do
            ) from None
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            raise TachographError(f"the Alertmanager does not answer: {why}", where=self.url, do=do) from None


def _silence(told: dict[str, Any]) -> Silence:
    operators = {(False, True): EQUAL, (False, False): NOT_EQUAL, (True, True): MATCH, (True, False): NOT_MATCH}
    matchers = tuple(
        LabelMatcher(m["name"], operators[m["isRegex"], m.get("isEqual", True)], m["value"]) for m in told["matchers"]
    )
    until = datetime.fromisoformat(told["endsAt"]).timestamp()
    return Silence(until, matchers, by=told["createdBy"], text=told["comment"])
