"""A collector of the test's own, and what it has recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.console_client import Answer, Client
from tachograph.collect import RunningCollector, start
from tachograph.settings import load
from tachograph.usage.ledger_paths import configured_ledger
from tachograph.usage.row import Row
from tachograph.usage.stores.query import Query

TRACE = "0123456789abcdef0123456789abcdef"
OPENAI = {"gen_ai.provider.name": "openai", "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5"}
USED = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}


def attribute(key: str, value: Any) -> dict[str, Any]:
    """A KeyValue of OTLP JSON."""
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value), "stringValue")
    return {"key": key, "value": {kind: value}}


def attributes(found: dict[str, Any]) -> list[dict[str, Any]]:
    """KeyValues of OTLP JSON."""
    return [attribute(*pair) for pair in found.items()]


def span(found: dict[str, Any], *, number: int = 1, name: str = "chat gpt-5", **more: Any) -> dict[str, Any]:
    """A span that lasted two seconds and ended just now."""
    start = time.time_ns() - 3_000_000_000
    return {
        "traceId": TRACE, "spanId": f"{number:016x}", "name": name, "kind": 3, "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 2_000_000_000), "attributes": attributes(found), **more,
    }  # fmt: skip


def traces(*spans: dict[str, Any], service: str = "shop") -> bytes:
    """A request with these spans."""
    resource = {"attributes": attributes({"service.name": service})}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def event(name: str, found: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A log record of an event."""
    at = str(time.time_ns())
    return {"timeUnixNano": at, "body": {"stringValue": name}, "attributes": attributes(found), **more}


def logs(*events: dict[str, Any], service: str) -> bytes:
    """A request with these log records."""
    resource = {"attributes": attributes({"service.name": service})}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": list(events)}]}]}).encode()


class Collected:
    """A collector, asked over HTTP."""

    def __init__(self, running: RunningCollector, token: str = "") -> None:
        self.running = running
        self.client = Client(running.url, token)

    def send(self, body: bytes, path: str = "/v1/traces") -> Answer:
        """Post a request in OTLP JSON."""
        return self.client.post(path, body, "application/json")

    def rows(self) -> list[Row]:
        """What the ledger has, oldest first."""
        assert self.running.ledger.flush()
        if configured_ledger(self.running.ledger.settings) is None:
            return []  # no file is made before the first record
        store = self.running.ledger.open_store(read_only=True)
        try:
            return list(store.rows(Query()))
        finally:
            store.close()

    def metric(self, name: str) -> float:
        """The value of one series of /metrics, written as there; 0 where it is absent."""
        page = self.client.request("GET", "/metrics").body.decode()
        return next((float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"{name} ")), 0.0)


@pytest.fixture
def collected(tmp_path: Path) -> Iterator[Collected]:
    """A collector with a ledger of its own, for anybody on this machine."""
    settings = load({"ledger": {"data_dir": str(tmp_path / "ledger")}}, environ={}, read_file=False)
    with start(settings, port=0) as running:
        yield Collected(running)
