"""The parsers of bytes from outside, each as a function of bytes: it answers or refuses in its own words, or it fails.

A module that reads bytes and stands neither in `PARSERS` nor in `OWN_BYTES` fails test_parsers.py.
"""

from __future__ import annotations

import json
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import attach, detach
from starlette.testclient import TestClient

from tachograph import run_context
from tachograph.console.alertmanager import Alertmanager
from tachograph.console.api.parameters import parse_duration, parse_time
from tachograph.console.app import build
from tachograph.console.console import Console
from tachograph.console.ingest.exposition import ExpositionReader
from tachograph.console.ingest.otlp import logs, traces, wire
from tachograph.console.ingest.otlp.metrics import MetricsReceiver
from tachograph.console.ingest.scrape import ScrapeTarget
from tachograph.console.metric_snapshots import MetricSnapshots
from tachograph.console.notify import secrets
from tachograph.console.notify.delivery import retry_after
from tachograph.console.promql import PromQLError
from tachograph.console.promql.syntax import parse, parse_selector
from tachograph.console.query import Prometheus
from tachograph.console.reader import Reader as ConsoleReader
from tachograph.console.tsdb import TimeSeriesStore
from tachograph.errors import TachographError
from tachograph.instrument import hosts, watch
from tachograph.instrument.mcp_identity import address_of_command, address_of_url
from tachograph.instrument.splitting import Frames, Lines, opened
from tachograph.instrument.wire import _body as wire_body
from tachograph.llm.adapter import tool_request
from tachograph.llm.headroom import read_allowances
from tachograph.mcp import schemas
from tachograph.mcp.config import load_config
from tachograph.mcp.validation import ArgumentCheck
from tachograph.pricing.sources.price_file import PriceFile
from tachograph.records.redact import redact
from tachograph.records.sound import seconds_at_most
from tachograph.settings import load
from tachograph.signals import metrics_text, multiprocess
from tachograph.tape import ring
from tachograph.testing import recording
from tachograph.usage import frames
from tachograph.usage.journal import parse_segment_name
from tachograph.usage.reconcile import anthropic, focus, google, openai
from tachograph.usage.reports.when import moment
from tachograph.usage.row import decode
from tachograph.usage.source import JournalSource, backlog
from tachograph.usage.stores import open_store, postgres_connection
from tachograph.usage.stores.open import without_password
from tachograph.vendors import retry_after as waits
from tachograph.vendors.anthropic import apis as anthropic_apis
from tachograph.vendors.api import Api
from tachograph.vendors.bedrock import apis as bedrock_apis
from tachograph.vendors.bedrock import frames as bedrock_frames
from tachograph.vendors.cohere import apis as cohere_apis
from tachograph.vendors.errors import failure_of
from tachograph.vendors.gemini import rest as gemini_rest
from tachograph.vendors.ollama import apis as ollama_apis
from tachograph.vendors.openai import apis as openai_apis
from tachograph.vendors.wire import route

NOW: Final = datetime(2026, 11, 27, tzinfo=UTC)
_directory = tempfile.TemporaryDirectory(prefix="tachograph-fuzz-")


@dataclass(frozen=True)
class Parser:
    """One of them.

    Attributes:
        run: Given bytes, it raises what it never may.
        modules: Of Tachograph, that read these bytes; each is really reached by the corpus.
        words: What the inputs are mostly made of, for those that draw them at random.
        cost: How many inputs of a quick parser one of this takes the time of.
    """

    run: Callable[[bytes], None]
    modules: tuple[str, ...]
    words: tuple[str, ...] = ()
    cost: int = 1


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode("utf-8")


def _file(data: bytes, name: str) -> Path:
    path = Path(_directory.name) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def promql(data: bytes) -> None:
    """Queries that arrive at the console."""
    for read in (parse, parse_selector):
        with suppress(PromQLError):
            read(_text(data))


def times(data: bytes) -> None:
    """Times and durations in requests and on the command line."""
    for read in (parse_time, parse_duration):
        with suppress(ValueError):
            assert isinstance(read(_text(data)), int)
    with suppress(TachographError):
        moment(_text(data), now=NOW)


def otlp_protobuf(data: bytes) -> None:
    """What senders of OTLP send, in binary."""
    with suppress(wire.WireError):
        _take_traces(wire.read_traces(data))
    with suppress(wire.WireError):
        _take_metrics(wire.read_metrics(data))
    with suppress(wire.WireError):
        _take_logs(wire.read_logs(data))


def otlp_json(data: bytes) -> None:
    """The same as JSON."""
    request = _json(data)
    if isinstance(request, dict):
        _take_traces(request)
        _take_metrics(request)
        _take_logs(request)


def _take_traces(request: dict[str, Any]) -> None:
    items, refused = traces.read(request)
    assert refused >= 0
    assert all(span for _, span in items)


def _take_logs(request: dict[str, Any]) -> None:
    _, taken, refused = logs.records(request)
    assert taken >= 0
    assert refused >= 0


def _take_metrics(request: dict[str, Any]) -> None:
    kept, refused, _ = MetricsReceiver(TimeSeriesStore()).take(request)
    assert kept >= 0
    assert refused >= 0


def metrics_pages(data: bytes) -> None:
    """Pages of /metrics that are scraped."""
    for name, labels, value in metrics_text.samples(_text(data)):
        assert isinstance(name, str)
        assert isinstance(labels, dict)
        assert isinstance(value, float)
    with suppress(ValueError):
        list(ExpositionReader({"job": "x"}).read(_text(data), {}, []))


def journal_frames(data: bytes) -> None:
    """Frames of a journal."""
    for final in (False, True):
        found, used = frames.scan(data, final=final)
        assert used <= len(data)
        if final:
            assert used == len(data)
        position = 0
        for item in found:
            assert item.end > position
            position = item.end
    frames.unpack_committed(data)


def rows(data: bytes) -> None:
    """The payload of a frame."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        decode(data)


def names_of_segments(data: bytes) -> None:
    """File names in the directory of the journals."""
    parsed = parse_segment_name(_text(data) + ".journal")
    assert parsed is None or parsed[1] >= 0


def segments(data: bytes) -> None:
    """A whole file of a journal: it is read to its end, and removed."""
    path = _file(data, f"segments/{'01' * 16}-00000001.journal")
    backlog(path.parent)
    source = JournalSource(path.parent, {})
    for _ in range(len(data) + 10):
        batch = source.read(50)
        if not batch:
            break
        source.committed(batch)
    else:
        raise AssertionError("a damaged segment is read without end")
    source.close()
    assert not path.exists(), "a damaged segment stays forever"


def rings(data: bytes) -> None:
    """The file of a process that was killed."""
    with recording() as seen, suppress(ValueError):
        ring.read(data, seen.recorder)


def error_texts(data: bytes) -> None:
    """Messages of exceptions, which may hold keys."""
    for keeps_content in (False, True):
        redact(_text(data), keeps_content=keeps_content)


def lines_and_frames(data: bytes) -> None:
    """A streamed body in pieces: it gives the same lines and frames as in one."""
    size = 1 + (data[0] if data else 0)
    for cut in (Lines, Frames):
        whole, parts = cut(), cut()
        at_once = whole.feed(data)
        in_pieces = [one for at in range(0, len(data), size) for one in parts.feed(data[at : at + size])]
        assert in_pieces[: len(at_once)] == at_once
        for piece in at_once:
            opened(piece)
            bedrock_frames.opened(piece)
    bedrock_frames.opened(data)


def _apis() -> Iterator[Api]:
    for module in (anthropic_apis, openai_apis, ollama_apis, cohere_apis):
        yield from module.ROUTES.values()
    yield bedrock_apis.CONVERSE
    for path in (
        "/model/amazon.nova-pro-v1:0/invoke", "/model/amazon.nova-pro-v1:0/invoke-with-response-stream",
    ):  # fmt: skip
        yield bedrock_apis.route(path)[0]
    for method in (
        "generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents", "countTokens", "predict",
    ):  # fmt: skip
        found = gemini_rest.route("post", f"/v1beta/models/gemini-3-pro:{method}")
        if found is not None:
            yield found[0]


APIS: Final = {f"{api.vendor} {api.name} {api.operation}": api for api in _apis()}


def answers(data: bytes) -> None:
    """Answers of vendors: whole, and as lines of a stream. Requests of the application too."""
    whole, asked = opened(data), wire_body(data)
    pieces = [opened(line.removeprefix(b"data:")) for line in data.split(b"\n")]
    with recording() as seen:
        for api in APIS.values():
            call = seen.recorder.start_llm_call(api.vendor, "model", api.operation)
            api.read(call, whole)
            with suppress(Exception):  # the stream's state tries it, and reads all later
                api.tokens(whole)
            api.output_content(whole)
            if api.chunks is not None:
                reader = api.chunks()
                for piece in pieces:
                    reader.hides(piece)
                    reader.feed(piece, call)
                reader.fill(call)
                reader.content()
            api.facts(asked)
            api.input_content(asked)
            call.finish("success")


def failures(data: bytes) -> None:
    """Errors of vendors: body, status and headers."""
    for vendor in ("openai", "anthropic", "gemini", "bedrock"):
        for body in (data, _text(data), _json(data)):
            failure_of(vendor, status=429, headers=_headers(data), body=body)
    watch.error_body(_Answer(data))


class _Answer:
    is_closed = True

    def __init__(self, content: bytes) -> None:
        self.content = content


def _headers(data: bytes) -> dict[str, str]:
    return dict((*line.split(": ", 1), "")[:2] for line in _text(data).split("\n"))


def headers(data: bytes) -> None:
    """Headers of answers: waits and allowances."""
    found = _headers(data)
    for name in ("retry-after", "retry-after-ms"):
        seconds = waits.retry_after_seconds({**found, name: _text(data)}, None)
        assert seconds is None or 0 <= seconds <= waits.LONGEST_SECONDS
    retry_after(_text(data), NOW.timestamp())
    read_allowances(found)
    for word in ("openai", "anthropic"):
        read_allowances({
            "x-ratelimit-limit-requests": "5", "x-ratelimit-reset-requests": _text(data),
            f"{word}-ratelimit-requests-limit": "5", f"{word}-ratelimit-requests-reset": _text(data),
        })  # fmt: skip


def addresses(data: bytes) -> None:
    """URLs: of requests, of servers, of stores; none is connected to."""
    text = _text(data)
    for method in ("get", "post"):
        route(method, text)
        openai_apis.route(method, text)
        anthropic_apis.route(method, text)
    hosts.address_of(text)
    watch.place_of(text)
    address_of_url(text)
    address_of_command("npx", text.split(" "))
    without_password(text)
    secrets.scrubbed(text, (text,))
    postgres_connection.where(text)
    for make in (ScrapeTarget, Prometheus, Alertmanager):
        with suppress(TachographError):
            make(text)
    if not text.startswith(("sqlite", "postgres", "clickhouse")):
        with suppress(TachographError):
            open_store(text)


def price_files(data: bytes) -> None:
    """A user's prices."""
    with suppress(TachographError):
        PriceFile(_file(data, "prices.toml"))


def settings(data: bytes) -> None:
    """tachograph.toml, and an environment variable: budgets, alerts and receivers of notifications too."""
    path = _file(data, "settings.toml")
    with suppress(TachographError):
        load(environ={"TACHOGRAPH_CONFIG": str(path)})
    for name in ("BUDGETS_LIMITS", "METRICS_LABELS", "LEDGER_KEEP_ROWS_DAYS", "NOTIFY_RECEIVERS", "ALERTS_CHANGES"):
        with suppress(TachographError):
            load(environ={f"TACHOGRAPH_{name}": _text(data)}, read_file=False)


def bills(data: bytes) -> None:
    """Bills: FOCUS and Google's as CSV, the vendors' reports as JSON."""
    csv_file, json_file = _file(data, "bill.csv"), _file(data, "bill.json")
    focus.is_focus(csv_file)
    for read in (
        lambda: focus.saved([csv_file], "openai"),
        lambda: google.saved([csv_file]),
        lambda: google.saved([json_file]),
        lambda: openai.saved([json_file]),
        lambda: anthropic.saved([json_file]),
    ):
        with suppress(TachographError):
            list(read())


def mcp_servers(data: bytes) -> None:
    """An `mcpServers` file."""
    with suppress(TachographError):
        load_config(_file(data, "mcp.json"), environ={})


def mcp_tools(data: bytes) -> None:
    """What MCP servers and models say of tools: schemas and arguments."""
    tool_request("1", "tool", _text(data))
    schema = _json(data)
    if isinstance(schema, dict):
        schemas.portable(schema)
        ArgumentCheck(schema).problems(schema)


def baggage(data: bytes) -> None:
    """A `baggage` header: the run that another process passes on."""
    token = attach(W3CBaggagePropagator().extract({"baggage": _text(data)}))
    try:
        run_context.around()
    finally:
        detach(token)


def sound_files(data: bytes) -> None:
    """A sound file in memory."""
    seconds = seconds_at_most(data)
    assert seconds is not None
    assert seconds >= 0


def _raise(error: BaseException) -> None:
    raise error


def metric_indexes(data: bytes) -> None:
    """Files in `metrics.multiprocess_dir`."""
    for line in data.split(b"\n"):
        multiprocess._entry(line)
    directory = _file(data, f"metrics/{multiprocess.ARCHIVE}").parent
    (directory / "1-1.index").write_bytes(data)
    (directory / "1-1.values").write_bytes(data)
    multiprocess._Siblings(directory, 1 << 20, _raise).merge([], "2-2")


def snapshots(data: bytes) -> None:
    """Metrics that the console kept across a restart."""
    directory = Path(_directory.name) / "snapshots"
    snapshot = MetricSnapshots(directory, TimeSeriesStore())
    try:
        kept = directory / f"{int(time.time() * 1000):015d}.part"
        for body in (data, zlib.compress(data)):
            kept.write_bytes(body)
            snapshot.load()
        kept.unlink()
    finally:
        snapshot.close()


class _Says:
    """A server that answers everything with these bytes."""

    status, headers = 200, {"Content-Type": "application/json"}

    def __init__(self, body: bytes) -> None:
        self._body = body

    def open(self, *_: Any, **__: Any) -> _Says:
        """Answer."""
        return self

    def read(self, most: int = -1) -> bytes:
        """The whole answer."""
        return self._body

    def __enter__(self) -> _Says:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def other_servers(data: bytes) -> None:
    """What a Prometheus, an Alertmanager or another console answers."""
    prometheus, alertmanager, console = Prometheus("http://h"), Alertmanager("http://h"), ConsoleReader("http://h")
    for one in (prometheus, alertmanager, console):
        one._opener = _Says(data)
    with suppress(PromQLError):
        prometheus.instant("up", 0)
    alertmanager.silences()
    with suppress(TachographError):
        alertmanager.silence("A", 0)
    with suppress(TachographError):
        console.get("v1/rules")


@cache
def _console() -> TestClient:
    return TestClient(build(Console(), token="t" * 20), base_url="http://localhost")


def console_requests(data: bytes) -> None:
    """Requests to the console: whatever they hold, the answer is never 5xx."""
    logged_in = {"Authorization": f"Bearer {'t' * 20}", "Host": "localhost"}
    client, text = _console(), quote(data, safe="=&")[:4000]
    for method, path, kind in (
        ("POST", "/v1/traces", "application/json"),
        ("POST", "/v1/traces", "application/x-protobuf"),
        ("POST", "/v1/metrics", "application/json"),
        ("POST", "/v1/metrics", "application/x-protobuf"),
        ("POST", "/login", "application/x-www-form-urlencoded"),
        ("POST", "/api/v1/query", "application/x-www-form-urlencoded"),
        ("POST", "/api/console/views", "application/json"),
        ("GET", f"/api/v1/query_range?query=1&{text}", ""),
        ("GET", f"/api/v1/series?{text}", ""),
        ("GET", f"/api/console/calls?{text}", ""),
        ("GET", f"/api/console/money?{text}", ""),
    ):
        answer = client.request(
            method, path, content=data, headers={**logged_in, **({"Content-Type": kind} if kind else {})}
        )
        assert answer.status_code < 500, (method, path[:40], answer.text)


def _words(text: str, *more: str) -> tuple[str, ...]:
    return (*text.split(), *more)


_QUERY = _words(
    "up sum by ( ) { } [5m] :1m offset @ - + ^ == bool and on group_left , 1 1e308 NaN =~ a rate `x` \"a\" '\\xff'",
    *("#c\n", "\x00"),
)
_OTLP = _words(
    "resourceSpans scopeSpans spans attributes key value stringValue intValue events resourceMetrics scopeMetrics"
    " resourceLogs scopeLogs logRecords eventName body"
    ' metrics histogram dataPoints bucketCounts { } [ ] " : , 1e999 -1'
)
_EXPOSED = _words(
    "a{ # EOF \x00 a_total 1e999",
    *('a{b="c"} 1', "# TYPE a counter", "# HELP a \\x", 'a{b="\\', "a 1 2 3", "a NaN", "\n", 'é{="} 1'),
)
_ANSWER = _words(
    '"usage" "choices" "message" "content" "candidates" "usageMetadata" "prompt_tokens" "delta" "type" "output"'
    ' "error" [ ] { } : , null 1e999 -1 "x"',
    "\ndata: ",
)
_TOML = _words(
    '[[price]] model = "gpt-5" input 1.5 [ledger] url [metrics] labels [ ] [budgets] limits { } nan inf -1 true'
    " 1979-05-27 [notify] receivers",
    "\n",
)
_CELLS = _words(
    'BilledCost ChargePeriodStart ProviderName , " OpenAI 2026-11-27T00:00:00Z 1.5 cost NaN 1e999 date { } [ ]',
    *("\n", '{"data": [', "sku description", "gemini 2.5 pro input token"),
)
_URL = _words("http:// https:// [ ] ::1 @ : 99999 /v1/messages / ? # postgresql:// % a é // \\ key= --token")
_SCHEMA = _words(
    '"type" "object" "$ref" "#/$defs/a" "$defs" "properties" "anyOf" "enum" { } [ ] : , null "a" "pattern" "(" 1e400'
    ' "mcpServers" "command" "url" "http://["'
)
_HEADERS = _words(
    "1e400 -1 5 nan 1m30s 12ms ٣ 0001 9999-12-31T23:59:59-23:59 T Z +",
    *("retry-after: ", "Fri, 27 Nov 2026 00:00:00 GMT", "\n", "x-ratelimit-remaining-requests: "),
)
_PEERS = _words(
    '{"status":"success","data": "resultType": "vector" "result": [ ] { } , 1e999 "x" : "metric" "value" "matchers"'
    ' "endsAt" null'
)
_REQUEST = _words(
    'query= time= start= end= step= & 1 1e999 -1 NaN ٣ match[]= up { } " limit= since= by= token= 0001-01-01 [ ] , \x00'
)
_KEYS = _words("sk- Bearer ?key= :// @ aaaaaaaaaaaaaaaaaaaaaaaa \" '")
_INDEX = _words('[0,1, "q" "d" "name" [ ] ,', "\n")

PARSERS: Final[dict[str, Parser]] = {
    "promql": Parser(promql, ("console.promql.syntax",), _QUERY, cost=3),
    "times": Parser(times, ("console.api.parameters", "usage.reports.when"), _HEADERS),
    "otlp_protobuf": Parser(
        otlp_protobuf, ("console.ingest.otlp.wire", "console.ingest.otlp.traces", "console.ingest.otlp.logs"),
    ),
    "otlp_json": Parser(otlp_json, ("console.ingest.otlp.metrics", "console.ingest.otlp.values"), _OTLP),
    "metrics_pages": Parser(metrics_pages, ("console.ingest.exposition", "signals.metrics_text"), _EXPOSED),
    "journal_frames": Parser(journal_frames, ("usage.frames",)),
    "rows": Parser(rows, ("usage.row",)),
    "names_of_segments": Parser(names_of_segments, ("usage.journal",)),
    "sound_files": Parser(sound_files, ("records.sound",)),
    "segments": Parser(segments, ("usage.source", "usage.frames")),
    "rings": Parser(rings, ("tape.ring",), cost=2),
    "error_texts": Parser(error_texts, ("records.redact",), _KEYS),
    "lines_and_frames": Parser(lines_and_frames, ("instrument.splitting", "vendors.bedrock.frames", "vendors.loose")),
    "answers": Parser(
        answers,
        ("vendors.openai.chat", "vendors.openai.responses", "vendors.anthropic.messages", "vendors.gemini.generation",
         "vendors.bedrock.apis", "vendors.cohere.apis", "vendors.ollama.apis", "instrument.wire"), _ANSWER, cost=5,
    ),
    "failures": Parser(failures, ("vendors.failures", "instrument.watch"), _ANSWER),
    "headers": Parser(headers, ("vendors.retry_after", "llm.headroom", "console.notify.delivery"), _HEADERS),
    "addresses": Parser(
        addresses,
        ("vendors.wire", "vendors.openai.apis", "vendors.anthropic.apis", "instrument.hosts", "instrument.watch",
         "instrument.mcp_identity", "console.notify.secrets", "console.ingest.scrape",
         "console.query", "usage.stores.open", "usage.stores.postgres_connection"), _URL,
    ),
    "price_files": Parser(price_files, ("pricing.sources.price_file",), _TOML),
    "settings": Parser(settings, ("settings.load",), _TOML, cost=10),
    "bills": Parser(
        bills,
        ("usage.reconcile.focus", "usage.reconcile.google", "usage.reconcile.pages", "usage.reconcile.openai",
         "usage.reconcile.anthropic"), _CELLS,
    ),
    "mcp_servers": Parser(mcp_servers, ("mcp.config",), _SCHEMA),
    "mcp_tools": Parser(mcp_tools, ("mcp.schemas", "mcp.validation", "llm.adapter"), _SCHEMA),
    "baggage": Parser(baggage, ("run_context",), ("tachograph.run.id=", "a", ",", ";", "%00", "%", "=", "é")),
    "metric_indexes": Parser(metric_indexes, ("signals.multiprocess",), _INDEX),
    "other_servers": Parser(
        other_servers, ("console.query", "console.alertmanager", "console.reader"),
        _PEERS,
    ),
    "console_requests": Parser(
        console_requests, ("console.api.otlp", "console.api.console", "console.api.parameters", "console.security"),
        _REQUEST, cost=15,
    ),
    "snapshots": Parser(snapshots, ("console.metric_snapshots",), cost=2),
}  # fmt: skip

OWN_BYTES: Final[dict[str, str]] = {
    "console.console": "asks its own evaluator and Prometheus through console.query",
    "console.notify.state": "its own database; a row that cannot be decoded is logged and left out",
    "console.promql.xxhash": "hashes bytes, whatever they are",
    "console.store": "its own database, in its own directory",
    "console.views.incident": "times that the console's own rules write",
    "files": "a size in the buffer that statx of the kernel fills",
    "llm.limiter": "a file of two numbers in a directory of its own; every 16 bytes are two numbers",
    "llm.providers.anthropic_messages": "as llm.adapter, which is fuzzed",
    "records.ids": "random bytes of its own",
    "urls": "split() refuses nothing; all of `addresses` goes through it",
    "usage.budgets.scope": "a digest of its own",
    "usage.migrations.run": "the setting ledger.url, of which only what stands before the colon is read",
    "usage.reconcile.watch": "its own bills.json; one that is not JSON is refused in words",
    "usage.stores.clickhouse": "the setting ledger.url, by urls.split",
    "usage.stores.sqlite_driver": "the shared memory of our own open SQLite; a shorter one is left alone",
    "usage.stores.columns": "columns that it wrote as JSON",
    "usage.stores.histograms": "numbers that the database has put together",
    "usage.stores.relabel": "columns that it wrote as JSON",
}
"""Modules that read only what Tachograph itself wrote, and why they need no random bytes."""
