"""OTLP logs: events that tell calls become the spans that they stand for, and are then read as spans are.

Events of coding agents (`agents/`) are read, and OpenTelemetry's `gen_ai.client.inference.operation.details` where it
was made outside of any span: inside of one, the span reports the call. All other log records are left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tachograph.console.ingest.otlp import names as n
from tachograph.console.ingest.otlp.agents import AGENTS, SERVICES
from tachograph.console.ingest.otlp.traces import EVENTS, MAX_SPANS, Pricer, Received, receive
from tachograph.console.ingest.otlp.values import attributes, hex_id, integer, number, objects
from tachograph.signals import semconv as s

DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
_LONGEST_MS: Final = 86_400_000.0


def records(request: Mapping[str, Any], price: Pricer | None = None) -> tuple[list[Received], int, int]:
    """Return each event of a call as a span with its record, how many were refused, and how many are of no call."""
    received: list[Received] = []
    refused = others = 0
    for resource in objects(request.get("resourceLogs")):
        about = attributes((resource.get("resource") or {}).get("attributes"))
        for scope in objects(resource.get("scopeLogs")):
            for raw in objects(scope.get("logRecords")):
                span = _span_of(raw, about)
                found = None if span is None else receive(span, about, EVENTS, price)
                if span is None:
                    others += 1
                elif found is None or len(received) >= MAX_SPANS:
                    refused += 1
                else:
                    received.append(found)
    return received, refused, others


def _span_of(raw: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """The OTLP span that an event stands for; None where it reports no call."""
    found = attributes(raw.get("attributes"))
    name = _name(raw, found)
    if name == DETAILS_EVENT:
        is_told_elsewhere = hex_id(raw.get("spanId"), 8) or resource.get("service.name") in SERVICES
        return None if is_told_elsewhere else _made_span(raw, found, name, found)
    for agent in AGENTS:
        short = name.removeprefix(agent.prefix)
        if short == name and resource.get("service.name") not in agent.services:
            continue
        told = agent.read(short, found)
        return None if told is None else _made_span(raw, found, name, told)
    return None


def _name(raw: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Codex has a place in its source as `eventName`, so the attribute comes first."""
    body = raw.get("body")
    text = body.get("stringValue") if isinstance(body, dict) else None
    return str(found.get("event.name") or raw.get("eventName") or text or "")[:200]


def _made_span(raw: Mapping[str, Any], found: Mapping[str, Any], name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """A span with the facts that an event reports. The same event makes the same span, however often it is sent."""
    end = _time(raw, found)
    milliseconds = number(found.get("duration_ms"))
    length = round(milliseconds * 1e6) if 0 <= milliseconds <= _LONGEST_MS else 0
    said = json.dumps([end, name, raw.get("attributes")], sort_keys=True, default=str).encode()
    session = str(told.get(s.SESSION_ID) or "").encode() or said
    message = told.get(s.EXCEPTION_MESSAGE)
    return {
        "traceId": hashlib.blake2b(session, digest_size=16).hexdigest(),
        "spanId": hashlib.blake2b(said, digest_size=8).hexdigest(),
        "name": name,
        "kind": 3,
        "startTimeUnixNano": max(1, end - length),
        "endTimeUnixNano": end,
        "status": {"code": 2, "message": str(message or "")} if told.get(s.ERROR_TYPE) else {},
        "attributes": [_attribute(key, value) for key, value in told.items() if value not in (None, "")],
    }


def _time(raw: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """When the event was made, nanoseconds since the epoch."""
    for name in ("timeUnixNano", "observedTimeUnixNano"):
        at = integer(raw.get(name))
        if at:
            return at
    try:
        return int(datetime.fromisoformat(str(found.get("event.timestamp"))).timestamp() * 1e9)
    except ValueError:
        return 0


def _attribute(key: str, value: object) -> dict[str, Any]:
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value), "stringValue")
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [_attribute("", one)["value"] for one in value]}}}
    if kind == "stringValue" and key in _NUMBERS:
        whole = integer(value)
        kind, value = ("intValue", whole) if whole is not None else (kind, value)
    return {"key": key, "value": {kind: str(value) if kind == "stringValue" else value}}


_NUMBERS: Final = frozenset((*n.INPUT, *n.OUTPUT, *(name for names in n.DETAILS.values() for name in names)))
"""Counts, which some exporters send as text."""
