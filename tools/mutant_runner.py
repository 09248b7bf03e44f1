"""Try mutants: one pytest process that has collected the tests forks for each mutant, and runs what may notice it.

First each test runs once, unchanged: how long it takes, and which lines it runs. A test that kills a mutant for the
first time runs again, after the same tests as before and unchanged: where it fails so too, it is left out.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pickle
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import coverage
import hypothesis
import pytest
from mutations import Mutant, apply, functions_of

MEMORY = 4 << 30
"""Bytes that a child may allocate: a mutant may append without end."""


class Verdict(NamedTuple):
    """What came of a mutant."""

    what: str
    """killed, timeout, crashed; survived, untested (no test runs the statement in its process)."""
    by: str
    """The test that noticed."""
    tests: int
    """How many ran."""
    cpu: float
    """Seconds of CPU."""


class Learnt(NamedTuple):
    """What the tests do without a change."""

    seconds: dict[str, float]
    """Each test that passes: what it costs, fixtures included that it shares with others."""
    lines: dict[str, dict[int, list[str]]]
    """By file and line, the tests that run it."""
    forks: set[str]
    """The tests that fork: what runs in their children alone is in no line."""


def try_mutants(
    root: Path, mutants: list[Mutant], tests: list[str], children: int, seconds: float, limit: float
) -> dict[str, Verdict]:
    """Try each mutant, and say what came of it; those that `limit` seconds did not suffice for are missing."""
    plugin = _Runner(root, mutants, children, seconds, time.monotonic() + limit)
    pytest.main(
        ["-s", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=native", "--rootdir", str(root), *tests],
        plugins=[plugin],
    )
    return plugin.verdicts


class _Child(NamedTuple):
    pid: int
    pipe: int
    place: Path
    ends: float
    mutant: Mutant | None
    items: list[pytest.Item]


class _Runner:
    """A plugin that takes the place of pytest's loop."""

    def __init__(self, root: Path, mutants: list[Mutant], children: int, seconds: float, ends: float) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self._root, self._mutants, self._children, self._seconds, self._ends = root, mutants, children, seconds, ends
        self._failed = False
        self._kills: dict[str, Counter[str]] = defaultdict(Counter)
        self._trusted: set[str] = set()
        self._distrusted: set[str] = set()
        self._functions: dict[tuple[str, str], list[FunctionType]] = {}
        self._fixtures: Counter[str] = Counter()

    @pytest.hookimpl
    def pytest_configure(self) -> None:
        """A failure is enough: it is not made smaller, nor kept for the next time."""
        hypothesis.settings.register_profile(
            "mutants",
            hypothesis.settings.get_profile("tests"),
            database=None,
            derandomize=True,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        )
        hypothesis.settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Learn what the tests run, then try the mutants."""
        paths = {str(self._root / mutant.path) for mutant in self._mutants}
        for path in sorted(paths):
            module = Path(path).relative_to(self._root / "src").with_suffix("")
            importlib.import_module(".".join(module.parts).removesuffix(".__init__"))
        self._functions = functions_of(paths)
        self._caches = _caches(str(self._root / "src"))
        gc.collect()
        gc.freeze()
        self._items = {item.nodeid: item for item in session.items}
        self._session = session
        print(f"{len(self._items)} tests, {len(self._mutants)} mutants", flush=True)
        learnt = self._learn(sorted(paths))
        print(f"{len(learnt.seconds)} pass, in {sum(learnt.seconds.values()):.1f} s", flush=True)
        self._try(learnt)
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        self._failed = self._failed or report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Note how long what tests share takes."""
        began = _spent()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                self._fixtures[fixturedef.argname] += _spent() - began

    def _run(self, item: pytest.Item, after: pytest.Item | None) -> bool:
        """Whether the test passes."""
        self._failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        return not self._failed

    def _learn(self, paths: list[str]) -> Learnt:
        """Run each test once, in a child."""
        child = self._fork(None, [], 3600, lambda place: self._measure(paths, place / "learnt"))
        os.waitpid(child.pid, 0)
        os.close(child.pipe)
        learnt: Learnt = pickle.loads((child.place / "learnt").read_bytes())
        _tidy(child)
        return learnt

    def _measure(self, paths: list[str], out: Path) -> None:
        trace = coverage.Coverage(data_file=None, include=paths, config_file=False)
        forks: set[str] = set()
        os.register_at_fork(before=lambda: forks.add(item.nodeid))
        took: dict[str, float] = {}
        items = list(self._items.values())
        item = items[0]
        trace.start()
        for i, item in enumerate(items):
            if sys.gettrace() is None:  # the test before has taken the tracer away
                trace.stop()
                trace.start()
            trace.switch_context(item.nodeid)
            for cached in self._caches:  # so that each test runs what it needs
                cached.cache_clear()
            before, shared = _spent(), self._fixtures.total()
            passed = self._run(item, items[i + 1] if i + 1 < len(items) else None)
            if passed:
                took[item.nodeid] = _spent() - before - (self._fixtures.total() - shared)
            else:
                print(f"fails without a change: {item.nodeid}", flush=True)
        trace.stop()
        for item in items:
            if item.nodeid in took:
                names = getattr(item, "fixturenames", ())
                took[item.nodeid] += sum(self._fixtures[name] for name in names)
        data = trace.get_data()
        lines = {path: data.contexts_by_lineno(path) for path in paths}
        out.write_bytes(pickle.dumps(Learnt(took, lines, forks)))

    def _chosen(self, mutant: Mutant, learnt: Learnt) -> list[pytest.Item]:
        """The tests that may notice a mutant: first what has killed others in this function, then the quick ones."""
        lines = learnt.lines[str(self._root / mutant.path)]

        def running(first: int, last: int) -> set[str]:
            return {name for line in range(first, last + 1) for name in lines.get(line, ())}

        names = (
            running(*mutant.lines) or running(*mutant.body) or learnt.forks
        ) & learnt.seconds.keys() - self._distrusted
        kills = self._kills[f"{mutant.path}:{mutant.function}"]
        chosen, left = [], self._seconds
        for name in sorted(names, key=lambda name: (-kills[name], learnt.seconds[name])):
            if left < 0:
                break
            left -= learnt.seconds[name]
            chosen.append(self._items[name])
        return chosen

    def _try(self, learnt: Learnt) -> None:
        queue = list(reversed(self._mutants))
        running: list[_Child] = []
        while (queue or running) and time.monotonic() < self._ends:
            while queue and len(running) < self._children:
                mutant = queue.pop()
                items = self._chosen(mutant, learnt)
                if not items:
                    self.verdicts[mutant.name] = Verdict("untested", "", 0, 0.0)
                    continue
                running.append(self._start(mutant, items, learnt))
            ended = _wait(running)
            if ended is None:
                continue
            running.remove(ended)
            verdict = _verdict(ended)
            assert ended.mutant is not None
            if verdict.what == "killed" and not self._trust(ended, verdict, learnt):
                queue.append(ended.mutant)
                continue
            if verdict.by:
                self._kills[f"{ended.mutant.path}:{ended.mutant.function}"][verdict.by] += 1
            self.verdicts[ended.mutant.name] = verdict
            print(f"{ended.mutant.name} {verdict}", flush=True)
        for child in running:
            os.killpg(child.pid, signal.SIGKILL)
            _verdict(child)

    def _start(self, mutant: Mutant | None, items: list[pytest.Item], learnt: Learnt) -> _Child:
        expected = sum(learnt.seconds[item.nodeid] for item in items)
        return self._fork(mutant, items, 60 + 10 * expected, lambda place: self._meet(mutant, items))

    def _trust(self, child: _Child, verdict: Verdict, learnt: Learnt) -> bool:
        """Whether the test that failed passes without the change, after the same tests."""
        if verdict.by not in self._trusted:
            again = self._start(None, child.items[: verdict.tests], learnt)
            while _wait([again]) is None:
                pass
            control = _verdict(again)
            if control.what != "survived":
                self._distrusted.add(control.by or verdict.by)
                print(f"fails without a change: {control.by or verdict.by} ({control.what})", flush=True)
                return False
            self._trusted.add(verdict.by)
        return True

    def _meet(self, mutant: Mutant | None, items: list[pytest.Item]) -> None:
        """In a child: run the tests until one fails."""
        for cached in self._caches:
            cached.cache_clear()
        if mutant is not None:
            apply(mutant, self._functions[str(self._root / mutant.path), mutant.function])
        for i, item in enumerate(items):
            if not self._run(item, items[i + 1] if i + 1 < len(items) else None):
                self._say({"what": "killed", "by": item.nodeid, "tests": i + 1})
                return
        self._say({"what": "survived", "by": "", "tests": len(items)})

    def _say(self, said: dict[str, object]) -> None:
        os.write(self._pipe, json.dumps(said).encode())

    def _fork(
        self, mutant: Mutant | None, items: list[pytest.Item], limit: float, work: Callable[[Path], None]
    ) -> _Child:
        place = Path(tempfile.mkdtemp(prefix="mutant-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        place.chmod(0o755)  # PostgreSQL does not run as root
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write)
            return _Child(pid, read, place, time.monotonic() + limit, mutant, items)
        code = 1
        try:
            os.setsid()
            os.close(read)
            self._pipe = write
            if items:
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, 1)
                os.dup2(null, 2)
                resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(place)
            work(place)
            self._session.config.hook.pytest_sessionfinish(session=self._session, exitstatus=0)
            code = 0
        finally:
            os._exit(code)
        raise AssertionError


def _caches(folder: str) -> list[Any]:
    """The functions of these files whose results are kept: what was calculated earlier, a mutant could not change."""
    found = []
    for thing in gc.get_objects():
        if hasattr(type(thing), "cache_clear"):
            wrapped = getattr(thing, "__wrapped__", None)
            if isinstance(wrapped, FunctionType) and wrapped.__code__.co_filename.startswith(folder):
                found.append(thing)
    return found


def _spent() -> float:
    """A clock of what a test costs: CPU, its processes' included, and a tenth of what it waits."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + times.elapsed / 10


def _wait(running: list[_Child]) -> _Child | None:
    """The first child that said something, ended or took too long."""
    left = min(child.ends for child in running) - time.monotonic()
    ready, _, _ = select.select([child.pipe for child in running], [], [], min(max(left, 0.0), 5.0))
    now = time.monotonic()
    return next((child for child in running if child.pipe in ready or child.ends <= now), None)


def _verdict(child: _Child) -> Verdict:
    """What came of a child; it is ended."""
    ready, _, _ = select.select([child.pipe], [], [], 0)
    said = os.read(child.pipe, 4096) if ready else b""
    if said:
        _, _, used = _reap(child.pid, time.monotonic() + 20)
        found = json.loads(said)
        verdict = Verdict(found["what"], found["by"], found["tests"], used)
    else:
        _, _, used = _reap(child.pid, time.monotonic() + (1 if ready else 0))
        verdict = Verdict("crashed" if ready else "timeout", "", len(child.items), used)
    os.close(child.pipe)
    _tidy(child)
    return verdict


def _reap(pid: int, ends: float) -> tuple[int, int, float]:
    """Wait for a process to end by itself, and end what is left of its group."""
    done, status, usage = os.wait4(pid, os.WNOHANG)
    while not done and time.monotonic() < ends:
        time.sleep(0.005)
        done, status, usage = os.wait4(pid, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if not done:
        done, status, usage = os.wait4(pid, 0)
    return done, status, usage.ru_utime + usage.ru_stime


def _tidy(child: _Child) -> None:
    shutil.rmtree(child.place, ignore_errors=True)
