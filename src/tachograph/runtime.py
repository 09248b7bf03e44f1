"""The one place where the parts are joined: settings become a recorder with its signals, prices and ledger."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from tachograph.errors import TachographError
from tachograph.llm.metrics.observe import LLMMetrics
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.native import warn_of_uwsgi
from tachograph.recorder import Recorder
from tachograph.records.content import ContentGate, hook
from tachograph.settings import Settings, load
from tachograph.signals.families import BUILD_INFO, FAMILIES, PROCESS_START, TELEMETRY_ERRORS
from tachograph.signals.registry import Metrics, Storage
from tachograph.signals.run_families import FAMILIES as RUN_FAMILIES
from tachograph.tape import TAPE, guard
from tachograph.usage.metrics.families import FAMILIES as USAGE_FAMILIES
from tachograph.version import __version__

if TYPE_CHECKING:
    from tachograph.signals.genai_metrics import GenAIMetrics
    from tachograph.signals.http import MetricsServer

LeftOut = Callable[[TachographError, str], None]
"""Takes an error, and which part is left out for it."""

# What is needed only once something is configured is imported where it is used: it is most of the import's time.

logger = logging.getLogger("tachograph")

SDKS: Final = frozenset({"openai", "anthropic", "google.genai"})
"""Where one of these is imported, calls that cost money are to be expected."""

_lock = threading.RLock()
recorder_in_place: Recorder | None = None
settings_in_place: Settings | None = None
_server: MetricsServer | None = None
_redact: str | None = None


def build(settings: Settings, left_out: LeftOut | None = None) -> Recorder:
    """A recorder as the settings say; nothing global is touched, and no port is opened.

    Args:
        left_out: Called with each error instead of raising it, and what the recorder is then without.
    """
    metrics = _metrics(settings)
    keeps_metrics = settings.enabled and settings.metrics.enabled
    recorder = join(metrics, keeps_metrics=keeps_metrics)
    if not _joined("what was said", lambda: set_content_gate(recorder, settings), left_out):
        recorder.content = ContentGate(False, settings.spans.content_limit, None)
    _join_spans(recorder, settings)
    genai = _join_otlp(recorder, settings) if keeps_metrics and settings.otlp.metrics else None
    _join_runs(recorder, keeps_metrics, genai)
    _set_process_gauges(metrics, _process_started())
    metrics.when_rebound(lambda: _set_process_gauges(metrics, time.time()))  # at a fork no file is opened
    if not _joined("the price file", lambda: _join_pricer(recorder, settings), left_out):
        _join_pricer(recorder, structs.replace(settings, pricing=structs.replace(settings.pricing, file=None)))
    _joined("the ledger", lambda: _join_ledger(recorder, settings), left_out)
    _join_ring(recorder, settings)
    _joined("budgets", lambda: _join_budgets(recorder, settings, left_out), left_out)
    _join_waste(recorder, settings)
    return recorder


def _joined(part: str, join_it: Callable[[], object], left_out: LeftOut | None) -> bool:
    """Join a part; whether it is there. What is wrong with it is raised, unless the part may be left out."""
    try:
        join_it()
    except TachographError as error:
        if left_out is None:
            raise
        left_out(error, part)
        return False
    return True


def join(metrics: Metrics, *, keeps_metrics: bool = True, **parts: Any) -> Recorder:  # noqa: ANN401 - as Recorder takes them
    """A recorder that adds calls to these metrics, with these `parts` of `Recorder`'s.

    Args:
        keeps_metrics: Whether calls are counted; every family is there in any case.
    """
    llm, mcp = metrics.part(LLMMetrics), metrics.part(MCPMetrics)
    for family in (*USAGE_FAMILIES, *FAMILIES, *RUN_FAMILIES):
        metrics.register(family)
    if not keeps_metrics:
        return Recorder(metrics, **parts)
    recorder = Recorder(metrics, count_llm_call=llm.observe, count_tool_call=mcp.observe, **parts)
    metrics.before_collect(lambda: llm.show_in_flight(recorder.in_flight))
    return recorder


def set_content_gate(recorder: Recorder, settings: Settings) -> None:
    """Let the recorder keep of what was said what the settings allow."""
    keeps = settings.enabled and settings.spans.enabled and settings.spans.content
    recorder.content = ContentGate(keeps, settings.spans.content_limit, _redact or settings.instrument.redact)


def redact_with(path: str | None) -> None:
    """Let this hook redact for recorders that are made from now on, whatever their settings name; None: as they say."""
    global _redact
    if path is not None:
        hook(path)
    _redact = path


def _join_runs(recorder: Recorder, keeps_metrics: bool, genai: GenAIMetrics | None) -> None:
    from tachograph.run_context import around
    from tachograph.signals.runs import RunSignal
    from tachograph.signals.spans import SpanSignal

    spans = recorder.spans if isinstance(recorder.spans, SpanSignal) else None
    recorder.find_run = around
    recorder.runs = RunSignal(recorder.metrics, spans, keeps_metrics=keeps_metrics, genai=genai)


def _join_spans(recorder: Recorder, settings: Settings) -> None:
    if settings.enabled and settings.spans.enabled:
        from tachograph.signals import otlp
        from tachograph.signals.spans import SpanSignal

        wants_provider = settings.otlp.traces and otlp.is_wanted("traces")
        spans = structs.replace(settings.spans, names="otel") if settings.otlp.names == "genai" else settings.spans
        recorder.spans = SpanSignal(spans, make_provider=otlp.SpanPush() if wants_provider else None)


def _join_otlp(recorder: Recorder, settings: Settings) -> GenAIMetrics | None:
    from tachograph.signals.otlp import Otlp

    names = settings.otlp.names
    otlp = recorder.otlp = Otlp(
        recorder.metrics,
        lambda error: recorder.count_failure("otlp", error),
        hands_over=names != "genai",
        deliver=None if names == "contract" else lambda: TAPE.drain(wait_seconds=1.0),
    )
    recorder.metrics.when_grown(recorder.otlp.attach)
    recorder.metrics.when_rebound(recorder.otlp.after_fork)
    TAPE.when_started(recorder.otlp.attach)  # a forked child's own reader begins with its first call
    if names == "contract":
        return None
    from tachograph.signals.genai_metrics import GenAIMetrics

    genai = GenAIMetrics(lambda: otlp.provider)
    recorder.add_listener(genai)
    return genai


def _join_pricer(recorder: Recorder, settings: Settings) -> None:
    if settings.enabled and settings.pricing.enabled:
        from tachograph.pricing import Pricer
        from tachograph.pricing.sources import bundled

        recorder.pricer = Pricer(settings.pricing.file)
        recorder.prepare_with_first_call(bundled.load)
        if not SDKS.isdisjoint(sys.modules):
            warm_up_prices(settings)


def warm_up_prices(settings: Settings) -> None:
    """Load the bundled prices, where the settings want them before the first call begins."""
    if settings.enabled and settings.pricing.enabled and settings.pricing.warm_up:
        from tachograph.pricing.sources import bundled

        try:
            bundled.load()
        except Exception as error:  # noqa: BLE001 - a broken installation of theirs: each call that is not priced is counted
            logger.warning("tachograph: the bundled prices cannot be loaded: %s", error)


def _join_ledger(recorder: Recorder, settings: Settings) -> None:
    if settings.enabled and settings.ledger.enabled:
        from tachograph.usage.ledger import Ledger

        recorder.ledger = Ledger(settings.ledger, recorder.metrics)


def _join_ring(recorder: Recorder, settings: Settings) -> None:
    """What is kept of a finished record through `kill -9` until the ledger, or the workers' metrics, have it."""
    from tachograph.tape.ring import SUFFIX, Ring, directory_of
    from tachograph.usage.ledger import Ledger

    directory = settings.metrics.multiprocess_dir if settings.enabled and settings.metrics.enabled else None
    recorder.shares_metrics = directory is not None
    ledger = recorder.ledger
    if isinstance(ledger, Ledger):
        recorder.ring = ledger.ring
        ledger.recovered = recorder.recovered
    elif directory is not None:
        recorder.ring = Ring(directory_of(Path(directory)), Path(directory))
        recorder.metrics.when_rebound(recorder.ring.after_fork_in_child)
    if recorder.ring is not None:
        if any(recorder.ring.directory.glob(f"*{SUFFIX}")):  # left by killed processes: threads price them
            warm_up_prices(settings)
        recorder.ring.prepare()
    if directory is not None and recorder.ring is not None:
        recorder.metrics.before_collect(recorder.recover)


def _join_budgets(recorder: Recorder, settings: Settings, left_out: LeftOut | None) -> None:
    if settings.enabled and settings.budgets.limits:
        from tachograph.usage.budgets import Budgets
        from tachograph.usage.budgets.doubtful import check_apart, doubts
        from tachograph.usage.ledger import Ledger

        ledger = recorder.ledger if isinstance(recorder.ledger, Ledger) else None
        accounts: set[str] = set()
        limits = [  # one that cannot be used must not take the others with it
            limit
            for limit in settings.budgets.limits
            if _joined(f"the budget {limit.name!r}", partial(check_apart, limit, accounts), left_out)
        ]
        if limits:
            budgets = structs.replace(settings.budgets, limits=tuple(limits))
            for doubt in doubts(budgets):
                logger.warning("tachograph: %s", doubt)
            Budgets(budgets, recorder, ledger)


def _join_waste(recorder: Recorder, settings: Settings) -> None:
    if settings.enabled and settings.waste.enabled:
        from tachograph.usage.waste import Waste

        Waste(settings.waste, recorder)
        recorder.keeps_prompts = settings.waste.prompts


def _metrics(settings: Settings) -> Metrics:
    """Cells in this process's memory, or in the directory that sibling processes share."""
    wanted = settings.metrics
    if wanted.multiprocess_dir is None or not (settings.enabled and wanted.enabled):
        return Metrics((), limit=wanted.label_limit, user_labels=wanted.labels)
    from tachograph.signals.multiprocess import MappedStorage

    made: list[Metrics] = []
    logged: set[type[BaseException]] = set()

    def failed(error: BaseException) -> None:
        if made:
            made[0].cell(TELEMETRY_ERRORS, "multiprocess").add()
        if type(error) not in logged:
            logged.add(type(error))
            logger.warning(
                "tachograph: the metrics directory %s cannot be used in full (%s), and the numbers concerned are "
                "missing from /metrics of other processes. Give it space and write permission, and remove from it what "
                "is not a file of Tachograph.",
                wanted.multiprocess_dir,
                error,
            )

    try:
        mapped = MappedStorage(Path(wanted.multiprocess_dir), failed, limit=wanted.label_limit)
        storage: Storage | None = mapped
        broken: Exception | None = mapped.error
    except ImportError as error:
        storage, broken = None, error
    metrics = Metrics((), limit=wanted.label_limit, user_labels=wanted.labels, storage=storage)
    made.append(metrics)
    metrics.register(TELEMETRY_ERRORS)
    if broken is not None:
        failed(broken)
    _move_in_after_batches(metrics)
    return metrics


def _move_in_after_batches(metrics: Metrics) -> None:
    """Have numbers moved into their directory when it can take them again, on the thread that may wait for a disk."""
    reference = weakref.ref(metrics)

    def move_in() -> None:
        metrics = reference()
        if metrics is not None:
            metrics.move_in()

    weakref.finalize(metrics, TAPE.after_batch(move_in)).atexit = False


def configure(overrides: Mapping[str, Any] | None = None, /, **sections: object) -> Recorder:
    """Set Tachograph up for this process: `configure(metrics={"port": 9464})`.

    Settings not given come from the environment (`TACHOGRAPH_...`), then from tachograph.toml or pyproject.toml.
    Configuring again replaces the recorder; calls under way finish on the old one.

    Raises:
        SettingsError: A name or a value is not allowed.
        TachographError: `metrics.port` may not be listened on, or not at `metrics.address`. One that another process
            has is logged, and the application goes on without it.
    """
    settings = load({**(overrides or {}), **sections})
    return _install(build(settings), settings)


def _install(recorder: Recorder, settings: Settings, left_out: LeftOut | None = None) -> Recorder:
    global recorder_in_place, settings_in_place
    warn_of_uwsgi()
    with _lock:
        _joined("the port of /metrics", lambda: _serve(settings), left_out)
        before, recorder_in_place, settings_in_place = recorder_in_place, recorder, settings
    if recorder.otlp is not None:
        recorder.otlp.attach()
    if before is not None and before.otlp is not None:
        closing = threading.Thread(target=before.otlp.close, name="tachograph-otlp-close", daemon=True)
        try:
            closing.start()  # it may wait
        except RuntimeError:  # no thread to be had
            before.otlp.close()
    if before is not None and before.ledger is not None:
        before.ledger.retire()
    return recorder


def _serve(settings: Settings) -> None:
    """Open, keep or close the port that the settings ask for."""
    global _server
    wanted = settings.metrics.port if settings.enabled and settings.metrics.enabled else None
    if wanted is None and _server is None:
        return
    from tachograph.signals.http import MetricsServer, PortTakenError

    address, shared = settings.metrics.address, settings.metrics.multiprocess_dir is not None

    def opened() -> MetricsServer | None:
        if wanted is None:
            return None
        try:
            return MetricsServer(_current_metrics, wanted, address, shared=shared)
        except PortTakenError as error:
            logger.warning("tachograph: %s Going on without it.", error)
        except RuntimeError as error:
            logger.warning(
                "tachograph: /metrics is not served, since no thread can be started for it (%s). Going on without it."
                " Raise the limit of processes or of memory, and call configure() again.",
                error,
            )
        return None

    server = _server
    if server is not None and server.is_serving:
        if wanted in (0, server.port) and (address, shared) == (server.address, server.shared):
            return
        if wanted != server.port:
            new = opened()
            if new is not None or wanted is None:
                server.close()
                _server = new
            return
        server.close()
    _server = opened()


def get_recorder() -> Recorder:
    """The process's recorder, made from environment and file when none is configured.

    What is wrong with those is logged and left out here, since the application may be in the middle of a call;
    `configure()` raises it.
    """
    recorder = recorder_in_place
    return recorder if recorder is not None else _default()


guard.report_to(lambda error: get_recorder().failed("instrument", error))


def _default() -> Recorder:
    with _lock:
        if recorder_in_place is not None:
            return recorder_in_place
        settings = load(left_out=lambda error: _leave_out(error, "it"))
        return _install(build(settings, _leave_out), settings, _leave_out)


def _leave_out(error: TachographError, part: str) -> None:
    logger.error("tachograph: %s Going on without %s.", str(error).rstrip(".") + ".", part)


def get_settings() -> Settings:
    """The settings that `get_recorder()` was made from."""
    get_recorder()
    assert settings_in_place is not None
    return settings_in_place


def settings_in_use() -> Settings:
    """The settings in place, or the defaults where nothing has been configured yet: no recorder is made."""
    return settings_in_place if settings_in_place is not None else Settings()


def set_recorder(recorder: Recorder | None, settings: Settings | None = None) -> Recorder | None:
    """Put another recorder in place (tests), and the settings it was made from; returns the one before."""
    global recorder_in_place, settings_in_place
    with _lock:
        before, recorder_in_place = recorder_in_place, recorder
        if settings is not None or settings_in_place is None:
            settings_in_place = settings or Settings()
    return before


def metrics_server() -> MetricsServer | None:
    """The port that /metrics is served on by `metrics.port`, or None."""
    server = _server
    return server if server is not None and server.is_serving else None


def metrics_wsgi_app() -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """A WSGI application that answers with the metrics, to mount at /metrics in the application's own server."""
    from tachograph.signals.http import wsgi_app

    return wsgi_app(_current_metrics)


def metrics_asgi_app() -> Callable[..., Awaitable[None]]:
    """An ASGI application that answers with the metrics, to mount at /metrics in the application's own server."""
    from tachograph.signals.http import asgi_app

    return asgi_app(_current_metrics)


def _current_metrics() -> Metrics:
    return get_recorder().metrics


def _set_process_gauges(metrics: Metrics, started: float) -> None:
    metrics.cell(BUILD_INFO, __version__).set(1)
    metrics.cell(PROCESS_START).set(started)


def _process_started() -> float:
    """When this process started, seconds since the epoch; now, where the system does not say."""
    try:
        with open("/proc/self/stat", "rb") as stat:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime", "rb") as uptime:
            up = float(uptime.read().split()[0])
        return round(time.time() - up + ticks / os.sysconf("SC_CLK_TCK"), 2)
    except (OSError, ValueError, IndexError):
        return time.time()
