"""Writes samples as they are, staleness markers included, into a Prometheus by its remote-write receiver."""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterable
from typing import Final

from tachograph.console.ingest.otlp.wire import varint
from tachograph.console.promql.types import STALE_NAN

STALE: Final = STALE_NAN
"""The value that ends a series."""
Labels = tuple[tuple[str, str], ...]


def write(url: str, series: Iterable[tuple[Labels, list[tuple[int, float]]]], *, span_ms: int = 600_000) -> None:
    """Send series of (time in ms, value) in slices of time, so that nothing arrives too old."""
    everything = [(labels, points) for labels, points in series if points]
    begin = min(points[0][0] for _, points in everything)
    end = max(points[-1][0] for _, points in everything)
    written = [0] * len(everything)
    for low in range(begin, end + 1, span_ms):
        parts = []
        for number, (labels, points) in enumerate(everything):
            first = last = written[number]
            while last < len(points) and points[last][0] < low + span_ms:
                last += 1
            if last > first:
                parts.append(_field(1, _series(labels, points[first:last])))
                written[number] = last
        if parts:
            _post(url, b"".join(parts))


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(
        f"{url}/api/v1/write",
        data=_snappy(body),
        headers={
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        },
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()


def _series(labels: Labels, points: list[tuple[int, float]]) -> bytes:
    named = b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in sorted(labels))
    samples = b"".join(_field(2, b"\x09" + struct.pack("<d", v) + b"\x10" + varint(t)) for t, v in points)
    return named + samples


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(body)) + body


def _snappy(data: bytes) -> bytes:
    """Wrap bytes as snappy literals: the format without its compression."""
    out = bytearray(varint(len(data)))
    for at in range(0, len(data), 65536):
        chunk = data[at : at + 65536]
        out += bytes([61 << 2]) + struct.pack("<H", len(chunk) - 1) + chunk
    return bytes(out)
