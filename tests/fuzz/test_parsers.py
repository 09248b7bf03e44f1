"""Every parser of bytes from outside: whatever comes, it answers or refuses in its own words, and ends.

In `make test` each parser gets a few hundred inputs; `make fuzz` gives each many more (TACHOGRAPH_FUZZ_EXAMPLES) and
keeps those that failed in tests/fuzz/corpus, from where they are played first the next time.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from tachograph.records.redact import redact
from tachograph.signals import metrics_text
from tachograph.usage import frames
from tachograph.usage.journal import parse_segment_name
from tachograph.usage.row import decode
from tachograph.usage.source import JournalSource, backlog

pytest.importorskip("starlette")
from tachograph.console.api.parameters import parse_duration, parse_time
from tachograph.console.ingest.exposition import Reader
from tachograph.console.ingest.otlp import traces, wire
from tachograph.console.ingest.otlp.metrics import Receiver
from tachograph.console.promql import PromQLError
from tachograph.console.promql.syntax import parse, parse_selector
from tachograph.console.tsdb import Store

CORPUS: Final = Path(__file__).with_name("corpus")
EXAMPLES: Final = int(os.environ.get("TACHOGRAPH_FUZZ_EXAMPLES", "200"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=timedelta(seconds=10),
    database=DirectoryBasedExampleDatabase(CORPUS),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
PIECES: Final = [
    "up", "sum", "by", "(", ")", "{", "}", "[", "]", "5m", ":1m", "offset", "@", "-", "+", "*", "^", "==", "bool",
    "and", "or", "unless", "on", "ignoring", "group_left", ",", "1", "1e308", "0x1F", "NaN", "Inf", '"a"', "'\\xff'",
    "`x`", "=~", "!=", "a", "__name__", "rate", "histogram_quantile", "start()", "end()", " ", "\n", "#c\n", "\x00",
    "é",
]  # fmt: skip
query = st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join) | st.text(max_size=200)


@fuzzed
@given(query)
@example("1" + "+1" * 5000)
@example("-" * 5000 + "1")
def test_promql(text: str) -> None:
    for read in (parse, parse_selector):
        try:
            read(text)
        except PromQLError:
            continue


@fuzzed
@given(st.text(max_size=60))
@example("1e400")
@example("0001-01-01T00:00:00+23:59")
@example("٣")
def test_times_and_durations(text: str) -> None:
    for read in (parse_time, parse_duration):
        try:
            assert isinstance(read(text), int)
        except ValueError:
            continue


def _field(number: int, wire_type: int, body: bytes) -> bytes:
    return bytes([number << 3 | wire_type]) + body


def _sized(number: int, body: bytes) -> bytes:
    length, size = len(body), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return _field(number, 2, size + bytes([length]) + body)


leaf = (
    st.binary(max_size=12).map(lambda body: _sized(1, body))
    | st.integers(0, (1 << 64) - 1).map(lambda value: _field(3, 1, struct.pack("<Q", value)))
    | st.integers(1, 15).flatmap(lambda number: st.binary(max_size=8).map(lambda body: _sized(number, body)))
    | st.binary(max_size=12)
)
message = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=4).flatmap(
        lambda parts: st.integers(1, 15).map(lambda number: _sized(number, b"".join(parts)))
    ),
    max_leaves=20,
)


@fuzzed
@given(message)
def test_otlp_protobuf(body: bytes) -> None:
    for read, take in ((wire.read_traces, _take_traces), (wire.read_metrics, _take_metrics)):
        try:
            request = read(body)
        except wire.WireError:
            continue
        take(request)


def _take_traces(request: dict[str, Any]) -> None:
    items, refused = traces.read(request)
    assert refused >= 0
    assert all(span for _, span in items)


def _take_metrics(request: dict[str, Any]) -> None:
    kept, refused, _ = Receiver(Store()).take(request)
    assert kept >= 0
    assert refused >= 0


NAMES: Final = [
    "resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "stringValue", "intValue", "doubleValue",
    "arrayValue", "kvlistValue", "values", "traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano", "events",
    "name", "status", "message", "code", "resource", "resourceMetrics", "scopeMetrics", "metrics", "gauge", "sum",
    "histogram", "summary", "dataPoints", "asDouble", "asInt", "bucketCounts", "explicitBounds", "timeUnixNano",
    "isMonotonic",
]  # fmt: skip
tree = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@fuzzed
@given(st.dictionaries(st.sampled_from(NAMES), tree, max_size=4))
def test_otlp_json(request: dict[str, Any]) -> None:
    _take_traces(request)
    _take_metrics(request)


exposition = st.text(max_size=200) | st.lists(
    st.sampled_from(['a{b="c"} 1', "# TYPE a counter", "# HELP a \\x", 'a{b="\\', "a{", "a 1 2 3", "a NaN", "# EOF",
                     'a{b="c"} 1 # {t="x"} 2', "\x00", 'é{="} 1', "a_total 1e999"]), max_size=12,
).map("\n".join)  # fmt: skip


@fuzzed
@given(exposition)
def test_metrics_pages(text: str) -> None:
    for name, labels, value in metrics_text.samples(text):
        assert isinstance(name, str)
        assert isinstance(labels, dict)
        assert isinstance(value, float)
    reader = Reader({"job": "x"})
    try:
        list(reader.read(text, {}, []))
    except ValueError:
        return


@fuzzed
@given(st.binary(max_size=400), st.booleans())
def test_frames(data: bytes, final: bool) -> None:
    found, used = frames.scan(data, final=final)
    assert used <= len(data)
    if final:
        assert used == len(data)
    position = 0
    for item in found:
        assert item.end > position
        position = item.end
    frames.unpack_committed(data)


@fuzzed
@given(st.binary(max_size=200))
def test_rows(data: bytes) -> None:
    try:
        decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return


@fuzzed
@given(st.text(max_size=60))
def test_names_of_segments(name: str) -> None:
    parsed = parse_segment_name(name + ".journal")
    assert parsed is None or parsed[1] >= 0


@fuzzed
@given(st.text(max_size=300), st.booleans())
def test_errors_text(text: str, keeps_content: bool) -> None:
    redact(text, keeps_content=keeps_content)


def _whole(count: int) -> bytes:
    header = frames.segment_header(b"\1" * 16, 1, 0, 1, 1)
    return header + b"".join(frames.frame(number, 1, b"p%d" % number * 20) for number in range(count))


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _noise(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(chance.randrange(200)) + data[start:]


def _zeroed_pages(data: bytes, chance: random.Random) -> bytes:
    page = chance.randrange(len(data) // 512 + 1) * 512
    return data[:page] + bytes(min(512, len(data) - page)) + data[page + 512 :]


def _doubled(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data + data[start:]


@pytest.mark.parametrize("damage", [_cut, _noise, _zeroed_pages, _doubled])
@pytest.mark.parametrize("seed", range(max(10, EXAMPLES // 20)))
def test_segments(tmp_path: Path, damage: Callable[[bytes, random.Random], bytes], seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / f"{'01' * 16}-00000001.journal"
    path.write_bytes(damage(_whole(60), chance))
    backlog(tmp_path)
    source = JournalSource(tmp_path, {})
    found: list[bytes] = []
    aside = lost = 0
    for _ in range(100):
        batch = source.read(50)
        if not batch:
            break
        found += batch.payloads
        aside += sum(item.records for item in batch.quarantined)
        lost += sum(gap.records for gap in batch.gaps)
        source.committed(batch)
    else:
        raise AssertionError("a damaged segment is read without end")
    source.close()
    whole = {b"p%d" % number * 20 for number in range(60)}
    assert set(found) <= whole, "a record that nobody wrote"
    assert not path.exists(), "a damaged segment stays forever"
