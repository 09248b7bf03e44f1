"""Asks a running console over HTTP, as a tool or as a browser would."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """Sends requests to one console; with its token unless another is given."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self.address = parts.netloc
        self.token = token

    def request(
        self,
        method: str,
        path: str,
        *,
        parameters: dict[str, Any] | list[tuple[str, Any]] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        login: bool = True,
    ) -> Answer:
        """Send one request."""
        sent = {"Host": self.address, **({"Authorization": f"Bearer {self.token}"} if login and self.token else {})}
        sent |= headers or {}
        if parameters:
            path += "?" + urlencode(parameters, doseq=True)
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            got = connection.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """GET something that must be there, as JSON."""
        answer = self.request("GET", path, parameters=parameters)
        assert answer.status == 200, (path, answer.status, answer.body[:500])
        return answer.json

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> Answer:
        """POST a body."""
        return self.request("POST", path, body=body, headers={"Content-Type": content_type, **headers})
