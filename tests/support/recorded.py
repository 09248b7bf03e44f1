"""Recorded exchanges between real clients and real vendors, read from VCR's YAML in both of its layouts.

A body stands as `body: {string: ...}` (text, bytes, perhaps gzipped) or `{base64_string: ...}`, or, read already, as
`parsed_body`; VCR's older recordings of httpx have it as `content`.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import yaml


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads tags that it does not know as what they hold."""


def _untagged(loader: Any, _suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("", _untagged)


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as they were recorded.

    Attributes:
        name: File and number.
        asked: The request's JSON, or an empty dictionary.
        status, headers: Of the answer; header names in lower case.
        sent: The answer's bytes as they went over the wire, compressed if they were.
        encoding: The answer's content-encoding, where the bytes really are.
        text: The answer, decoded.
    """

    name: str
    method: str
    url: SplitResult
    asked: dict[str, Any]
    status: int
    headers: dict[str, str]
    sent: bytes
    encoding: str
    text: str

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values."""
        return parse_qs(self.url.query)

    @property
    def is_events(self) -> bool:
        """Whether the answer is a stream of events; some recordings have lost the header that says so."""
        kind = self.headers.get("content-type")
        if kind is None:
            return self.text.startswith(("data:", "event:"))
        return "event-stream" in kind or "eventstream" in kind

    @property
    def json(self) -> Any:
        """The answer as JSON, or None."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON of each event."""
        if "eventstream" in self.headers.get("content-type", ""):  # Amazon's frames, each with JSON in base64 in JSON
            return [json.loads(base64.b64decode(event)) for event in re.findall(rb'"bytes":"([^"]+)"', self.sent)]
        found = []
        for line in self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            if line.startswith("data:") and line[5:].strip().startswith("{"):
                found.append(json.loads(line[5:]))
        return found


def exchanges(folder: Path) -> Iterator[Exchange]:
    """Every exchange of every recording below a folder, in order."""
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        recording = yaml.load(path.read_text("utf-8"), Loader=_Loader)
        for number, interaction in enumerate((recording or {}).get("interactions") or ()):
            yield _exchange(f"{path.relative_to(folder)}#{number}", interaction)


def _exchange(name: str, interaction: dict[str, Any]) -> Exchange:
    request, response = interaction["request"], interaction["response"]
    headers = {
        key.lower(): str(value[0] if isinstance(value, list) else value)
        for key, value in (response.get("headers") or {}).items()
        if value not in ([], None)
    }
    sent = _bytes(response)
    encoding, plain = _decode(sent, headers.get("content-encoding", ""))
    status = response.get("status", response.get("status_code"))
    return Exchange(
        name=name,
        method=str(request["method"]).upper(),
        url=urlsplit(str(request["uri"])),
        asked=_asked(request),
        status=int(status["code"] if isinstance(status, dict) else status or 200),
        headers=headers,
        sent=sent,
        encoding=encoding,
        text=plain.decode("utf-8", "replace"),
    )


def _asked(request: dict[str, Any]) -> dict[str, Any]:
    try:
        _, plain = _decode(_bytes(request), "")
        asked = json.loads(plain)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _bytes(message: dict[str, Any]) -> bytes:
    if message.get("parsed_body") is not None:
        return json.dumps(message["parsed_body"]).encode()
    body = message.get("body", message.get("content"))
    if isinstance(body, dict):
        if body.get("base64_string") is not None:
            return base64.b64decode(body["base64_string"])
        body = body["string"] if "string" in body else json.dumps(body)
    if body is None:
        return b""
    return body if isinstance(body, bytes) else str(body).encode()


def _decode(sent: bytes, encoding: str) -> tuple[str, bytes]:
    """The encoding that the bytes really have, and what they hold: some recordings are decoded, whatever they say."""
    if sent[:2] == b"\x1f\x8b":
        return "gzip", gzip.decompress(sent)
    if encoding == "deflate":
        try:
            return "deflate", zlib.decompress(sent)
        except zlib.error:
            return "", sent
    if encoding in ("br", "zstd"):
        try:
            sent.decode()
        except UnicodeDecodeError:
            return encoding, b""  # no reader here: an exchange without a readable body
    return "", sent
