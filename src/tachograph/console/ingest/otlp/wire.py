"""Reads OTLP protobuf into the dictionaries that OTLP JSON has, with no package but the standard library.

Only the fields that the console uses are read. Depth and number of messages are bounded, so that a hostile body of a
few megabytes cannot become gigabytes of objects.
Source: https://github.com/open-telemetry/opentelemetry-proto (1.7, checked 2026-11-23).
"""

from __future__ import annotations

import struct
from typing import Any

MAX_DEPTH = 24
MAX_MESSAGES = 200_000

# message -> field number -> (JSON name, kind, repeated); a kind in braces is another message.
_MESSAGES: dict[str, dict[int, tuple[str, str, bool]]] = {
    "Traces": {1: ("resourceSpans", "{ResourceSpans}", True)},
    "ResourceSpans": {1: ("resource", "{Resource}", False), 2: ("scopeSpans", "{ScopeSpans}", True)},
    "Resource": {1: ("attributes", "{KeyValue}", True)},
    "ScopeSpans": {1: ("scope", "{Scope}", False), 2: ("spans", "{Span}", True)},
    "Scope": {1: ("name", "string", False), 2: ("version", "string", False)},
    "Span": {
        1: ("traceId", "hex", False),
        2: ("spanId", "hex", False),
        4: ("parentSpanId", "hex", False),
        5: ("name", "string", False),
        6: ("kind", "varint", False),
        7: ("startTimeUnixNano", "fixed64", False),
        8: ("endTimeUnixNano", "fixed64", False),
        9: ("attributes", "{KeyValue}", True),
        11: ("events", "{Event}", True),
        15: ("status", "{Status}", False),
    },
    "Event": {
        1: ("timeUnixNano", "fixed64", False),
        2: ("name", "string", False),
        3: ("attributes", "{KeyValue}", True),
    },
    "Status": {2: ("message", "string", False), 3: ("code", "varint", False)},
    "KeyValue": {1: ("key", "string", False), 2: ("value", "{AnyValue}", False)},
    "AnyValue": {
        1: ("stringValue", "string", False),
        2: ("boolValue", "bool", False),
        3: ("intValue", "int64", False),
        4: ("doubleValue", "double", False),
        5: ("arrayValue", "{ArrayValue}", False),
        6: ("kvlistValue", "{KeyValueList}", False),
        7: ("bytesValue", "hex", False),
    },
    "ArrayValue": {1: ("values", "{AnyValue}", True)},
    "KeyValueList": {1: ("values", "{KeyValue}", True)},
    "Logs": {1: ("resourceLogs", "{ResourceLogs}", True)},
    "ResourceLogs": {1: ("resource", "{Resource}", False), 2: ("scopeLogs", "{ScopeLogs}", True)},
    "ScopeLogs": {1: ("scope", "{Scope}", False), 2: ("logRecords", "{LogRecord}", True)},
    "LogRecord": {
        1: ("timeUnixNano", "fixed64", False),
        5: ("body", "{AnyValue}", False),
        6: ("attributes", "{KeyValue}", True),
        9: ("traceId", "hex", False),
        10: ("spanId", "hex", False),
        11: ("observedTimeUnixNano", "fixed64", False),
        12: ("eventName", "string", False),
    },
    "Metrics": {1: ("resourceMetrics", "{ResourceMetrics}", True)},
    "ResourceMetrics": {1: ("resource", "{Resource}", False), 2: ("scopeMetrics", "{ScopeMetrics}", True)},
    "ScopeMetrics": {1: ("scope", "{Scope}", False), 2: ("metrics", "{Metric}", True)},
    "Metric": {
        1: ("name", "string", False),
        2: ("description", "string", False),
        3: ("unit", "string", False),
        5: ("gauge", "{Gauge}", False),
        7: ("sum", "{Sum}", False),
        9: ("histogram", "{Histogram}", False),
        10: ("exponentialHistogram", "{ExponentialHistogram}", False),
        11: ("summary", "{Summary}", False),
    },
    "Gauge": {1: ("dataPoints", "{NumberPoint}", True)},
    "Sum": {
        1: ("dataPoints", "{NumberPoint}", True),
        2: ("aggregationTemporality", "varint", False),
        3: ("isMonotonic", "bool", False),
    },
    "Histogram": {
        1: ("dataPoints", "{HistogramPoint}", True),
        2: ("aggregationTemporality", "varint", False),
    },
    "ExponentialHistogram": {1: ("dataPoints", "{ExponentialPoint}", True)},
    "ExponentialPoint": {},  # only counted, as refused
    "Summary": {1: ("dataPoints", "{SummaryPoint}", True)},
    "NumberPoint": {
        2: ("startTimeUnixNano", "fixed64", False),
        3: ("timeUnixNano", "fixed64", False),
        4: ("asDouble", "double", False),
        6: ("asInt", "sfixed64", False),
        7: ("attributes", "{KeyValue}", True),
        8: ("flags", "varint", False),
    },
    "HistogramPoint": {
        2: ("startTimeUnixNano", "fixed64", False),
        3: ("timeUnixNano", "fixed64", False),
        4: ("count", "fixed64", False),
        5: ("sum", "double", False),
        6: ("bucketCounts", "fixed64", True),
        7: ("explicitBounds", "double", True),
        9: ("attributes", "{KeyValue}", True),
        10: ("flags", "varint", False),
    },
    "SummaryPoint": {
        3: ("timeUnixNano", "fixed64", False),
        4: ("count", "fixed64", False),
        5: ("sum", "double", False),
        6: ("quantileValues", "{Quantile}", True),
        7: ("attributes", "{KeyValue}", True),
    },
    "Quantile": {1: ("quantile", "double", False), 2: ("value", "double", False)},
}
_ALONE = frozenset({"{Metric}", "{Span}", "{LogRecord}"})
_EIGHT = {"fixed64": "<Q", "sfixed64": "<q", "double": "<d"}


class WireError(ValueError):
    """Bytes that are not the message they should be."""


class TooMuch(WireError):
    """A body that would become too many objects."""


def read_traces(data: bytes) -> dict[str, Any]:
    """Read an ExportTraceServiceRequest.

    Raises:
        WireError: The bytes are not one, or hold too much.
    """
    return _Reader().message(memoryview(data), "Traces", 0)


def read_logs(data: bytes) -> dict[str, Any]:
    """Read an ExportLogsServiceRequest.

    Raises:
        WireError: The bytes are not one, or hold too much.
    """
    return _Reader().message(memoryview(data), "Logs", 0)


def read_metrics(data: bytes) -> dict[str, Any]:
    """Read an ExportMetricsServiceRequest.

    Raises:
        WireError: The bytes are not one, or hold too much.
    """
    return _Reader().message(memoryview(data), "Metrics", 0)


class _Reader:
    def __init__(self) -> None:
        self._left = MAX_MESSAGES

    def message(self, data: memoryview, kind: str, depth: int) -> dict[str, Any]:
        self._left -= 1
        if self._left < 0:
            raise TooMuch("too many messages in one request")
        if depth > MAX_DEPTH:
            raise TooMuch("messages are nested too deep")
        fields = _MESSAGES[kind]
        out: dict[str, Any] = {}
        at, size = 0, len(data)
        while at < size:
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            if wire == 0:
                raw: int | memoryview
                raw, at = _varint(data, at)
            elif wire == 1:
                raw, at = data[at : at + 8], at + 8
            elif wire == 2:
                length, at = _varint(data, at)
                raw, at = data[at : at + length], at + length
            elif wire == 5:
                raw, at = data[at : at + 4], at + 4
            else:
                raise WireError(f"wire type {wire}")
            if at > size:
                raise WireError("the message ends too early")
            field = fields.get(number)
            if field is None:
                continue
            name, expected, repeated = field
            if repeated:
                self._repeated(out.setdefault(name, []), raw, wire, expected, depth)
            else:
                out[name] = self._value(raw, wire, expected, depth)
        return out

    def _repeated(self, values: list[Any], raw: int | memoryview, wire: int, expected: str, depth: int) -> None:
        if wire == 2 and expected in _EIGHT and isinstance(raw, memoryview):
            if len(raw) % 8:
                raise WireError("a packed list has a broken length")
            self._left -= len(raw) // 64
            values.extend(v[0] for v in struct.iter_unpack(_EIGHT[expected], raw))
            return
        try:
            values.append(self._value(raw, wire, expected, depth))
        except TooMuch:
            raise
        except WireError:
            if expected not in _ALONE:
                raise
            values.append({})  # one that a later version writes otherwise costs itself, and is counted as refused

    def _value(self, raw: int | memoryview, wire: int, expected: str, depth: int) -> object:
        if expected[0] == "{":
            if wire != 2 or isinstance(raw, int):
                raise WireError("a message was expected")
            return self.message(raw, expected[1:-1], depth + 1)
        if expected in _EIGHT:
            if wire != 1 or isinstance(raw, int):
                raise WireError("eight bytes were expected")
            return struct.unpack(_EIGHT[expected], raw)[0]
        if expected in ("string", "hex"):
            if wire != 2:
                raise WireError("text was expected")
            return bytes(raw).hex() if expected == "hex" else bytes(raw).decode("utf-8", "replace")
        if not isinstance(raw, int):
            raise WireError("a number was expected")
        if expected == "bool":
            return bool(raw)
        return raw - (1 << 64) if expected == "int64" and raw >= 1 << 63 else raw


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number ends too early or is too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def varint(value: int) -> bytes:
    """A whole number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
