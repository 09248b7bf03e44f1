"""The whole demo as an object: simulators, MCP servers, the application, its traffic and its troubles.

async with Demo(rate=4, seed=7, incident="slow-tool", incident_at=30) as demo:
    await demo.run(60)
    print(demo.metrics_url, demo.board())
print(demo.truth)
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tachograph import runtime
from tachograph.errors import MissingExtraError, TachographError
from tachograph.recorder import Recorder
from tachograph.settings import Settings
from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
from tachograph.settings.ledger import LedgerSettings
from tachograph.signals.http import MetricsServer
from tachograph.usage.budgets import Budgets
from tachograph.usage.ledger import Ledger
from tachograph.usage.metrics.families import ACCEPTED

from .expected_totals import (
    ExpectedTotals,
    Runs,
    Sums,
    Who,
    compare,
    ledger_sums,
    ledger_waste,
    run_sums,
)
from .expected_waste import WASTE, ExpectedWaste, Waste
from .incidents import INCIDENTS, Incident, Stage
from .scripted_model import ScriptedModel
from .servers import REPOSITORY, make_repository, server_configuration
from .simulators import Bill, Simulators
from .simulators.billing import google_export
from .sliding_window import Window
from .summary import Board, read_board
from .tool_servers import ToolServers
from .tracing import SERVICE, trace_to
from .traffic import Traffic
from .traffic_dial import TrafficDial

if TYPE_CHECKING:
    from tachograph.console import RunningConsole

DEFAULT_RATE = 3.0
ORDINARY_TOOL_FAILURES = 0.004
"""Share of the workshop's tool calls that fail without an incident: below every alert's threshold."""
FAQ_BUDGET = BudgetLimit(name="faq", usd=Decimal("0.03"), period="hour", labels={"feature": "faq"}, steps=(1.0,))
"""Small enough to be spent in a few minutes, while calls race for it."""
_KEPT_EXCHANGES = 2000
_PATIENCE_SECONDS = 5.0
_JOBS_SECONDS = 150.0
"""How long jobs under way may take to end. One that is cancelled may have been served whole, and is not counted."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened during the demo."""

    unix: float
    elapsed_seconds: float
    what: str


class Demo:
    """Runs inside `async with`; ends with every child process gone.

    Args:
        rate: LLM calls per second, on average.
        seed: Same seed, same jobs, same answers.
        incident: Name of a trouble (see `incidents.INCIDENTS`).
        incident_at, incident_for: Seconds after the start, and how long; None: to the end.
        metrics_port: Port of /metrics; 0 takes a free one, None opens none.
        console_port: Port of the console; 0 takes a free one, None opens none.
        speed: Factor on the models' latencies.
        directory: Where the ledger is kept; unless given, a temporary directory that ends with the demo.
        budgets: Budgets of the application.

    After the block `truth` holds the comparison of all sources.
    """

    def __init__(
        self,
        *,
        rate: float = DEFAULT_RATE,
        seed: int = 0,
        incident: str | None = None,
        incident_at: float = 20.0,
        incident_for: float | None = None,
        metrics_port: int | None = 0,
        console_port: int | None = None,
        speed: float = 1.0,
        directory: Path | None = None,
        budgets: tuple[BudgetLimit, ...] = (FAQ_BUDGET,),
        ordinary_failures: bool = True,
    ) -> None:
        if incident is not None and incident not in INCIDENTS:
            raise TachographError(
                f"there is no incident {incident!r}", where="--incident", do=f"Choose one of {', '.join(INCIDENTS)}"
            )
        if rate <= 0:
            raise TachographError(f"a rate of {rate:g} makes no calls", where="--rate", do="Give a number above 0")
        self.seed = seed
        self.dial = TrafficDial(rate)
        self.timeline: list[Moment] = []
        self.truth: ExpectedTotals | None = None
        self._incident_name = incident
        self._incident_at = incident_at
        self._incident_for = incident_for
        self._metrics_port = metrics_port
        self._console_port = console_port
        self._console: RunningConsole | None = None
        self._speed = speed
        self._given_directory = directory
        self._budgets = budgets
        self._ordinary_failures = ordinary_failures
        self._incident: Incident | None = None
        self._ended_incidents = 0
        self._clock_began: float | None = None
        self._started = 0.0
        self._closing = contextlib.AsyncExitStack()

    # -- what can be asked while it runs

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def metrics_url(self) -> str | None:
        """Address of /metrics."""
        return self._metrics_server.url if self._metrics_server is not None else None

    @property
    def console_url(self) -> str | None:
        """Address of the console, once it is up."""
        return self._console.url if self._console is not None else None

    def board(self) -> Board:
        """The numbers of this moment; looks at the metrics first."""
        self.window.look(time.monotonic())
        return read_board(self.window)

    @property
    def incident_phase(self) -> str:
        """How the incident stands: `in 5 s`, `since 3 s`, `over`, or nothing."""
        if self._incident is not None:
            return f"since {self.elapsed_seconds - self._incident_began:.0f} s"
        if self._incident_name is None:
            return ""
        if self._ended_incidents:
            return "over"
        left = self._incident_at - self.elapsed_seconds
        return f"in {left:.0f} s" if left > 0 else "in a moment, once the MCP servers are connected"

    async def begin_incident(self, name: str) -> None:
        """Let a trouble begin now."""
        await self.end_incident()
        await self.tools_ready()
        stage = Stage(self.simulators, self.model, self.workshop, self.dial)
        incident = INCIDENTS[name](stage)
        self._incident, self._incident_began = incident, self.elapsed_seconds
        self._note(f"{name} begins: {incident.summary}")
        await incident.begin()

    async def end_incident(self) -> None:
        """Put right whatever trouble there is."""
        incident, self._incident = self._incident, None
        if incident is not None:
            await incident.end()
            self._ended_incidents += 1
            self._note(f"{incident.name} is over")

    async def tools_ready(self) -> None:
        """Wait until providers and MCP servers are connected; raises what went wrong with that."""
        await asyncio.shield(self._setting_up)

    async def run(self, seconds: float | None = None, until: asyncio.Event | None = None) -> None:
        """Go on for some seconds, or until an event is set, or forever.

        The time for which the incident that was asked for waits for the MCP servers, on a busy machine, does not count.
        """
        until = until or asyncio.Event()
        end = None if seconds is None else time.monotonic() - self._late_seconds + seconds
        while not until.is_set() and (end is None or time.monotonic() < end + self._late_seconds):
            self._check()
            left = 0.25 if end is None else min(0.25, max(0.0, end + self._late_seconds - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), left)

    @property
    def _late_seconds(self) -> float:
        """How much later than asked for the incident began, or will at least begin."""
        if self._incident_name is None:
            return 0.0
        return max(0.0, (self._clock_began or self.elapsed_seconds) - self._incident_at)

    def _check(self) -> None:
        for task in self._background:
            if task.done() and not task.cancelled():
                task.result()
        if self._traffic is not None:
            self._traffic.check()

    def _note(self, what: str) -> None:
        self.timeline.append(Moment(time.time(), self.elapsed_seconds, what))

    # -- beginning and ending

    async def __aenter__(self) -> Demo:
        self._started = time.monotonic()
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def _start(self) -> None:
        closing = self._closing
        if self._console_port:
            _probe(self._console_port, "--console-port")
        self.directory = self._given_directory or Path(tempfile.mkdtemp(prefix="tachograph-demo-"))
        if self._given_directory is None:
            closing.callback(shutil.rmtree, self.directory, ignore_errors=True)
        # Settings of our own, not the user's: a demo must never write to a real ledger or exporter.
        self._settings = Settings(
            ledger=LedgerSettings(data_dir=str(self.directory / "ledger")),
            budgets=BudgetsSettings(limits=self._budgets, guard="engine"),
            waste=WASTE,
        )
        self.recorder = runtime.build(self._settings)
        closing.callback(self._close_ledger)
        before = runtime.set_recorder(self.recorder)
        closing.callback(runtime.set_recorder, before)
        self._metrics_server: MetricsServer | None = None
        if self._metrics_port is not None:
            self._metrics_server = _open_port(self.recorder, self._metrics_port)
            closing.callback(self._metrics_server.close)
        self.window = Window(self.recorder.metrics)
        self.window.look(time.monotonic())
        self.simulators = Simulators(self.seed, keep=_KEPT_EXCHANGES)
        self._expected_waste = ExpectedWaste(self.simulators.served)
        self.simulators.start()
        closing.callback(self.simulators.stop)
        self.workshop = ToolServers(self.seed, ORDINARY_TOOL_FAILURES if self._ordinary_failures else 0.0)
        self.workshop.launch()
        closing.callback(self.workshop.stop)
        self._traffic: Traffic | None = None
        self._setting_up = asyncio.create_task(self._set_up())
        self._clock = asyncio.create_task(self._watch_the_clock())
        opening_console = asyncio.create_task(self._open_console())
        self._background = (self._setting_up, self._clock, opening_console)

    def _close_ledger(self) -> None:
        ledger = self.recorder.ledger
        if isinstance(ledger, Ledger):
            ledger.close(_PATIENCE_SECONDS)

    async def _set_up(self) -> None:
        """Connect the application: providers first, so that the first calls need not wait for the tools."""
        from .application import Application

        workplace = Path(tempfile.mkdtemp(prefix="tachograph-demo-git-"))
        self._closing.callback(shutil.rmtree, workplace, ignore_errors=True)
        making_repository = asyncio.create_task(asyncio.to_thread(make_repository, workplace))
        self.model = ScriptedModel(
            self.seed, str(workplace / REPOSITORY), self._speed, ordinary_failures=self._ordinary_failures
        )
        self.model.attach(self.simulators)
        self.application = Application(self.recorder, self.simulators.urls)
        self._closing.push_async_callback(self.application.close)
        self._traffic = Traffic(self.seed, self.dial, self.application.do)
        self._traffic.start()
        self._note("traffic begins; loading the providers' SDKs")
        await self.application.connect_providers(self._note)
        await asyncio.to_thread(self.workshop.wait_ready)
        servers = server_configuration(self.workshop.url, await making_repository)
        await self.application.connect_tools(servers)
        self._note(f"MCP servers connected: {', '.join(servers['mcpServers'])}")

    async def _open_console(self) -> None:
        """Serve the console, once the tools are there (it is the slowest to load, and the least urgent)."""
        if self._console_port is None:
            return
        await self.tools_ready()
        try:
            self._console = await asyncio.to_thread(self._start_console, self._console_port)
        except MissingExtraError as error:
            self._note(f"no console: {error}")
        else:
            self._closing.callback(self._console.close)
            self._note("console ready")

    async def trace_to_console(self) -> None:
        """Send spans to the console, where there is one: sets this process's TracerProvider, so it is for programs."""
        if self._console_port is None:
            return
        await asyncio.shield(self._background[2])
        if self._console is not None:
            exporter = await asyncio.to_thread(trace_to, f"{self._console.url}v1/traces")
            self._closing.callback(exporter.shutdown)

    def _start_console(self, port: int) -> RunningConsole:
        from tachograph.console import start

        # Without a log-in: it listens on loopback only, and shows nothing but the demo's own calls.
        return start(
            port=port, recorder=self.recorder, settings=self._settings, auth=False, step_seconds=2.0, service=SERVICE
        )

    async def _watch_the_clock(self) -> None:
        """Begin and end the incident that was asked for at its time."""
        if self._incident_name is None:
            return
        await asyncio.sleep(max(0.0, self._incident_at - self.elapsed_seconds))
        await self.tools_ready()
        self._clock_began = self.elapsed_seconds
        await self.begin_incident(self._incident_name)
        if self._incident_for is not None:
            await asyncio.sleep(self._incident_for)
            await self.end_incident()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._wind_down()
        finally:
            await self._closing.aclose()

    async def _wind_down(self) -> None:
        """Stop arrivals, let what is under way end at once, and compare the books."""
        for task in reversed(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for vendor in self.simulators.vendors:
            vendor.hurry()
        if self._traffic is not None:
            await self._traffic.stop(_JOBS_SECONDS)
        self.window.look(time.monotonic())
        budgets = self.recorder.guard.balances() if isinstance(self.recorder.guard, Budgets) else []
        await asyncio.to_thread(self.simulators.served.wait_for_all, _PATIENCE_SECONDS)
        ledger, runs, waste = await asyncio.to_thread(self._ledger_sums)
        self.truth = compare(
            self.simulators.served,
            self.recorder.metrics,
            ledger,
            runs=runs,
            has_prices=self.recorder.pricer is not None,
            budgets={name: (spent, limit) for name, _, limit, spent, _ in budgets},
            bills=await asyncio.to_thread(self._bills),
            waste=waste,
            expected_waste=self._expected_waste,
        )

    def _ledger_sums(self) -> tuple[dict[Who, Sums] | None, Runs | None, Waste | None]:
        ledger = self.recorder.ledger
        if not isinstance(ledger, Ledger):
            return None, None, None
        ledger.flush(_PATIENCE_SECONDS)
        self.window.look(time.monotonic())  # what was written only now counts as accepted only now
        if not self.window.value(ACCEPTED):
            return {}, Runs(), {}
        return ledger_sums(ledger), run_sums(ledger), ledger_waste(ledger)

    def _bills(self) -> dict[str, int]:
        """What the vendors' own cost reports say, read as `tachograph reconcile` reads them: nano-dollars."""
        from tachograph.usage.reconcile import anthropic, google, openai

        until = datetime.now(UTC)
        since = until - timedelta(days=1)
        lines = {
            "openai": openai.billed(since, until, key="demo-key", base_url=self.simulators.openai.url),
            "anthropic": anthropic.billed(since, until, key="demo-key", base_url=self.simulators.anthropic.url),
            "gemini": google.rows(google_export(Bill("gemini", self.simulators.served)), "the simulator"),
        }
        return {
            provider: sum(int(line.usd.scaleb(9)) for line in billed if line.usd is not None)
            for provider, billed in lines.items()
        }

    def summary(self) -> dict[str, Any]:
        """Totals of the run, after it has ended."""
        totals = self.simulators.served.totals()
        return {
            "requests": sum(t.requests for t in totals.values()),
            "tokens": sum(t.usage.total for t in totals.values()),
            "usd": sum(t.nano_usd for t in totals.values()) / 1e9,
        }


def _probe(port: int, option: str) -> None:
    """Raise at once if a port that is opened later is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TachographError(
                f"port {port} on 127.0.0.1 cannot be listened on: {error.strerror}",
                where=f"{option} {port}",
                do=f"Choose another port with {option}, or {option} 0 for any free one",
            ) from error


def _open_port(recorder: Recorder, port: int) -> MetricsServer:
    try:
        return MetricsServer(lambda: recorder.metrics, port)
    except TachographError as error:
        raise TachographError(
            error.what,
            where=f"--metrics-port {port}",
            do="Choose another port with --metrics-port, or --metrics-port 0 for any free one",
        ) from error
