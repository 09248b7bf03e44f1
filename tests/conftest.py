"""What holds for every test: no network beyond loopback, no ledger or settings of the user's, nothing skipped in CI."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import struct
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

import pytest
from opentelemetry import context

from support.parts import PARTS

TESTS = Path(__file__).parent
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process that a test starts compiles all that it imports
sys.dont_write_bytecode = False
with suppress(ImportError):  # the sets of versions test hooks, and have no Hypothesis
    from hypothesis import HealthCheck, settings

    # What is slow on a busy machine is no failure.
    settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tests")
REQUIRE_PARTS = os.environ.get("TACHOGRAPH_REQUIRE_PARTS") == "1"
os.environ["SSL_CERT_FILE"] = str(TESTS / "support" / "one_authority.pem")
"""An HTTP client loads the authorities of the whole world when it is made: 21 ms; no test goes to the world."""
os.environ["PATH"] += f"{os.pathsep}{PARTS / 'debian/usr/bin'}"  # what `make parts` unpacked, for what we start too


_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= 8e9:
    # A ledger's writes are synced: on a disk, most of what the ledger's tests take is waiting for it.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Iterator[int]]:
    """Where each test gets a home of its own: `mktemp` for each would list all of them each time."""
    return tmp_path_factory.mktemp("homes"), count()


@pytest.fixture(autouse=True)
def _apart_from_the_user(monkeypatch: pytest.MonkeyPatch, _homes: tuple[Path, Iterator[int]]) -> None:
    """Keep settings, ledgers and keys of the user who runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith(
            ("TACHOGRAPH_", "OTEL_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_")
        ) and not name.startswith(
            ("TACHOGRAPH_REQUIRE_", "TACHOGRAPH_RECORDED_", "TACHOGRAPH_PROMQLTEST_", "TACHOGRAPH_TEST_")
        ):
            monkeypatch.delenv(name)
    home = _homes[0] / str(next(_homes[1]))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the rings on /dev/shm of processes that this session's tests have killed."""
    from tachograph.tape.ring import SUFFIX, directory_of, place_of

    factory: pytest.TempPathFactory | None = getattr(session.config, "_tmp_path_factory", None)
    if factory is None:
        return
    base = str(factory.getbasetemp().resolve())
    rings = (Path(folder, name) for folder, _, names in os.walk(directory_of(Path(base)).parent) for name in names)
    for path in rings:  # `walk` passes over a folder that another session has just removed; `glob` fails
        with suppress(OSError, struct.error):
            with path.open("rb") as file:
                place = place_of(file.read(4096))
            if path.suffix == SUFFIX and place is not None and place.startswith(base):
                path.unlink()
                path.parent.rmdir()


@pytest.fixture(autouse=True)
def _no_span_is_current_at_the_start() -> None:
    """A call that another test left unfinished is no span's parent."""
    context.attach(context.Context())


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine is a mistake in a test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0]) if isinstance(address, tuple) else ""
            if not (host.startswith("127.") or host in ("localhost", "::1", "0.0.0.0", "")):
                raise AssertionError(f"a test tried to connect to {host}: loopback only")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out what tests/slow.txt names")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collection leaves behind stays: half a million objects that each collection of garbage would look at."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.set_threshold(10_000, 20, 10)  # the default looks at young objects a thousand times in a long test
        _keep_what_is_there()


def _keep_what_is_there() -> None:
    """Free what is garbage; no later collection looks at the rest, of which a long worker has half a million."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left with one at the end."""
    lines = (line.split() for line in (TESTS / "slow.txt").read_text("utf-8").splitlines())
    slow = {name: float(seconds) for seconds, name in lines}
    took: Counter[str] = Counter()
    for name, seconds in slow.items():
        took[name.partition("::")[0]] += seconds
    items.sort(key=lambda item: -took[str(item.path.relative_to(TESTS))])
    if config.getoption("--quick"):
        left = [f"{item.path.relative_to(TESTS)}::{item.name.split('[')[0]}" in slow for item in items]
        config.hook.pytest_deselected(items=[item for item, is_left in zip(items, left, strict=True) if is_left])
        items[:] = [item for item, is_left in zip(items, left, strict=True) if not is_left]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Keep what a file leaves; give back the 32 MB that each ledger of a test reserved: they may be memory."""
    yield
    if nextitem is not None and nextitem.path != item.path:
        _keep_what_is_there()
    place: Path | None = getattr(item, "funcargs", {}).get("tmp_path")
    if place is not None:
        for reserve in chain(place.glob("*.reserve"), place.glob("*/*.reserve"), place.glob("*/*/*.reserve")):
            if reserve.is_file():  # a test may have made something else of it
                reserve.unlink(missing_ok=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None]:
    """Where everything is required, a skipped test has failed."""
    outcome = yield
    report = outcome.get_result()
    if REQUIRE_PARTS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where everything is required: {reason}"
