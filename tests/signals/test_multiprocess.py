"""Several worker processes sum to one truth on any worker's /metrics, and nothing recorded is lost with a worker."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import tachograph
from support.metrics_worker import record_and_wait
from support.traffic import llm_call, tool_call
from tachograph import runtime
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.recorder import Recorder
from tachograph.settings import load
from tachograph.signals import exposition, multiprocess
from tachograph.signals.family import Family
from tachograph.tape import TAPE

TESTS = Path(__file__).parent.parent


class Worker:
    """One worker process and what is said to it."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(TESTS / "support" / "metrics_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TACHOGRAPH_METRICS_MULTIPROCESS_DIR": str(directory),
                "PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]),
            },
        )
        assert self._answer() == "ready"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def do(self, command: str) -> str:
        self.say(command)
        return self._answer()

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return numbers(json.loads(self.do("scrape")))

    def kill(self) -> int:
        """SIGKILL it in the midst of `forever`; says how many calls it had reported."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        return self.process.stdout.read().count("1\n")

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


def numbers(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return sum(value for (n, own), value in found.items() if n == name and labels.items() <= dict(own).items())


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Worker]]:
    started = [Worker(tmp_path) for _ in range(4)]
    yield started
    for worker in started:
        worker.close()


def shared(directory: Path, **metrics: Any) -> Recorder:
    """A recorder in this process on the shared directory."""
    recorder = runtime.build(
        load(
            {"metrics": {"multiprocess_dir": str(directory), **metrics}, "ledger": {"enabled": False}},
            environ={},
            read_file=False,
        )
    )
    recorder.strict = True
    return recorder


def read(recorder: Recorder) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return numbers(exposition.write(recorder.metrics.collect()))


def test_four_workers_one_killed_lose_nothing_recorded(workers: list[Worker], tmp_path: Path) -> None:
    a, b, c, d = workers
    for worker, calls in ((a, 10), (b, 20), (c, 30)):
        assert worker.do(f"calls {calls}") == "done"
        worker.do("connect")
    d.do("connect")
    d.say("forever")
    reported = 0
    while reported < 200:
        d._answer()
        reported += 1
    living = a.scrape()
    assert total(living, "mcp_server_connections_active") == 4
    reported += d.kill()

    first = a.scrape()
    calls = total(first, "llm_call_seconds_count", outcome="success")
    recorded = 60 + reported
    # At the kill one call may be counted and not reported yet, and another one counted, but not yet marked as such in
    # the ring: what recovers it from there counts it again.
    for counted in (
        calls,
        total(first, "llm_provider_request_seconds_count"),
        total(first, "llm_provider_tokens_total", type="prompt") / 3,
        total(first, "llm_provider_tokens_total", type="completion") / 20,
        total(first, "llm_provider_cost_usd_total") / 1.000000001,
    ):
        assert recorded - 1e-6 <= counted <= recorded + 2 + 1e-6
    assert total(first, "mcp_tool_execute_seconds_count") == 5 + 10 + 15
    assert total(first, "mcp_server_connections_active") == 3  # the dead have none open

    assert len(list(tmp_path.glob("*.index"))) == 3  # the dead one's files are merged into the archive
    for worker in (a, b, c):
        again = worker.scrape()
        for key, value in again.items():
            if key[0].startswith(("llm_provider_", "llm_call", "mcp_")):
                assert value == pytest.approx(first[key], abs=1e-12), key
    late = Worker(tmp_path)
    try:
        late.do("calls 5")
        assert total(a.scrape(), "llm_call_seconds_count") == calls + 5
        assert total(late.scrape(), "llm_call_seconds_count") == calls + 5
    finally:
        late.close()


def test_everybody_gone_and_started_again_counts_on(tmp_path: Path) -> None:
    for _ in range(2):
        worker = Worker(tmp_path)
        worker.do("calls 4")
        worker.say("quit")
        worker.process.wait(60)
        worker.close()
    recorder = shared(tmp_path)
    assert total(read(recorder), "llm_call_seconds_count") == 8
    assert [path.name for path in tmp_path.glob("*.values")] == [f"{recorder.metrics.storage.id}.values"]  # type: ignore[attr-defined]
    assert total(read(recorder), "llm_call_seconds_count") == 8


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_add_up(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACHOGRAPH_METRICS_MULTIPROCESS_DIR", str(tmp_path))
    monkeypatch.setattr(runtime, "recorder_in_place", None)
    parent = tachograph.get_recorder()
    llm_call(parent)
    parent.metrics.part(MCPMetrics).connection_opened("time")
    context: Any = multiprocessing.get_context(method)
    done = context.Event()
    children = [context.Process(target=record_and_wait, args=(calls, done)) for calls in (2, 3)]
    for child in children:
        child.start()
    done.set()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    found = read(parent)
    assert total(found, "llm_call_seconds_count") == 1 + 2 + 3
    assert total(found, "mcp_server_connections_active") == 1  # a child has none of its parent's connections


def test_a_forked_child_without_a_shared_directory_starts_at_zero() -> None:
    recorder = runtime.build(load({"ledger": {"enabled": False}}, environ={}, read_file=False))
    llm_call(recorder)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        llm_call(recorder)
        tool_call(recorder)
        os.write(writer, exposition.write(recorder.metrics.collect()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found = numbers(pipe.read())
    os.waitpid(child, 0)
    assert total(found, "llm_call_seconds_count") == 1
    assert total(found, "tachograph_build_info") == 1
    assert total(read(recorder), "llm_call_seconds_count") == 1


def test_more_label_sets_than_the_first_file_holds(tmp_path: Path) -> None:
    recorder, other = shared(tmp_path), shared(tmp_path)
    for number in range(120):
        llm_call(recorder, model=f"model-{number}")
    recorder.settle()
    assert (tmp_path / f"{recorder.metrics.storage.id}.values").stat().st_size > multiprocess.FIRST_BYTES  # type: ignore[attr-defined]
    assert total(read(other), "llm_call_seconds_count") == 120
    assert {value for (name, _), value in read(other).items() if name == "llm_call_seconds_count"} == {0, 1}


def test_damaged_files_of_a_dead_worker_cost_only_what_is_damaged(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.do("calls 4")
    worker.close()
    (index,) = tmp_path.glob("*.index")
    with index.open("ab") as file:
        file.write(b'\x00\xff not json\n[1,2]\n[99999999,1,"d","llm_provider_tokens_total",["x"]]\n[5,1,"d","llm_pro')
    recorder = shared(tmp_path)
    assert total(read(recorder), "llm_call_seconds_count") == 4
    assert total(read(recorder), "llm_call_seconds_count") == 4


def _odd(path: Path, how: str) -> None:
    if how == "pipe":
        os.mkfifo(path)
    elif how == "directory":
        path.mkdir()
    elif how == "link to itself":
        path.symlink_to(path.name)
    else:
        path.write_bytes(b"")  # an index without values


@pytest.mark.parametrize("how", ["pipe", "directory", "link to itself", "file"])
@pytest.mark.parametrize("name", ["1-1-a.index", "line\nend.index", "\udcff.index", "1-1-a.new", multiprocess.LOCK])
def test_an_entry_of_the_directory_that_cannot_be_read_costs_no_number_of_others(
    tmp_path: Path, name: str, how: str
) -> None:
    recorder, living, gone = shared(tmp_path), shared(tmp_path), shared(tmp_path)
    for worker in (recorder, living, gone):
        llm_call(worker)
        worker.settle()
    gone.metrics.storage.close()  # type: ignore[union-attr]
    _odd(tmp_path / name, how)
    for _ in range(2):
        found = read(recorder)
        assert total(found, "llm_call_seconds_count") == 3
    is_fault = name.endswith(".index") or (name == multiprocess.LOCK and how in ("directory", "link to itself"))
    assert (total(read(recorder), "tachograph_telemetry_errors_total", component="multiprocess") > 0) == is_fault
    assert os.path.lexists(tmp_path / name)


@pytest.mark.parametrize("how", ["pipe", "directory", "link to itself"])
def test_an_archive_that_is_no_file_is_set_aside(tmp_path: Path, how: str) -> None:
    recorder, living = shared(tmp_path), shared(tmp_path)
    for worker in (recorder, living):
        llm_call(worker)
        worker.settle()
    _odd(tmp_path / multiprocess.ARCHIVE, how)
    assert total(read(recorder), "llm_call_seconds_count") == 2
    assert os.path.lexists((tmp_path / multiprocess.ARCHIVE).with_suffix(".damaged"))


def test_a_full_disk_while_the_dead_are_merged_costs_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, gone = shared(tmp_path), shared(tmp_path)
    for worker in (recorder, gone):
        llm_call(worker)
        worker.settle()
    gone.metrics.storage.close()  # type: ignore[union-attr]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        for _ in range(2):
            assert total(read(recorder), "llm_call_seconds_count") == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(multiprocess.ARCHIVE)] == []
    for _ in range(2):
        assert total(read(recorder), "llm_call_seconds_count") == 2
    assert (tmp_path / multiprocess.ARCHIVE).exists()


def test_a_crash_between_archiving_and_removing_counts_nothing_twice(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.do("calls 4")
    worker.close()
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in [*tmp_path.glob("*.index"), *tmp_path.glob("*.values")]:
        shutil.copy(path, kept)
    recorder = shared(tmp_path)
    assert total(read(recorder), "llm_call_seconds_count") == 4
    assert (tmp_path / multiprocess.ARCHIVE).exists()
    for path in kept.iterdir():
        shutil.copy(path, tmp_path)  # as if the process had died before removing them
    assert total(read(recorder), "llm_call_seconds_count") == 4
    another = Worker(tmp_path)
    another.do("calls 1")
    another.close()
    assert total(read(recorder), "llm_call_seconds_count") == 5
    assert total(read(recorder), "llm_call_seconds_count") == 5


def test_generations_of_workers_with_ever_new_models_stay_bounded(tmp_path: Path) -> None:
    recorder = shared(tmp_path, label_limit=10)
    for generation in range(4):
        worker = shared(tmp_path, label_limit=10)
        for number in range(10):
            llm_call(worker, model=f"model-{generation}-{number}")
        worker.settle()
        worker.metrics.storage.close()
        read(recorder)
    found = read(recorder)
    models = {dict(labels)["model"] for name, labels in found if name == "llm_call_seconds_count"}
    assert total(found, "llm_call_seconds_count") == 40
    assert len(models) <= 11
    assert total(found, "llm_call_seconds_count", model="other") == 30


def test_a_directory_that_cannot_be_used_is_counted_logged_and_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    recorder = shared(tmp_path / "file" / "metrics")
    llm_call(recorder)
    assert "cannot be used" in caplog.text
    found = read(recorder)
    assert total(found, "tachograph_telemetry_errors_total", component="multiprocess") == 1
    assert total(found, "llm_call_seconds_count") == 1


def test_a_directory_that_can_be_used_later_gets_all_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocess, "_RETRY_SECONDS", 0.0)
    (tmp_path / "metrics").touch()
    recorder = shared(tmp_path / "metrics")
    llm_call(recorder)
    assert total(read(recorder), "llm_call_seconds_count") == 1
    (tmp_path / "metrics").unlink()
    llm_call(recorder)
    recorder.settle()
    TAPE.flush()  # the batch's callbacks move the numbers
    assert total(read(shared(tmp_path / "metrics")), "llm_call_seconds_count") == 2


def _fill(directory: str, result: Any) -> None:
    multiprocess._RETRY_SECONDS = 0.0  # type: ignore[misc]  # Final: at once, in this process alone
    sibling, (_, hard) = shared(Path(directory)), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (multiprocess.FIRST_BYTES + 1000, hard))
    recorder = shared(Path(directory))
    for number in range(150):
        llm_call(recorder, model=f"model-{number}")
    found = read(recorder)
    in_all = total(found, "llm_call_seconds_count")
    is_counted = total(found, "tachograph_telemetry_errors_total", component="multiprocess") > 0
    seen = total(read(sibling), "llm_call_seconds_count")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    llm_call(recorder, model="model-0")
    recorder.settle()
    TAPE.flush()  # the batch's callbacks move the numbers
    result.send((in_all, is_counted, seen < in_all, total(read(sibling), "llm_call_seconds_count")))


def test_a_directory_that_is_full_keeps_the_rest_in_the_process_until_there_is_space(tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk: allocation is refused in the same way."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe()
    child = context.Process(target=_fill, args=(str(tmp_path), sender))
    child.start()
    assert receiver.recv() == (150, True, True, 151)
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.parametrize(("merge", "value"), [("sum", 7), ("max", 5), ("min", 2)])
def test_gauges_merge_as_their_family_says(tmp_path: Path, merge: Any, value: float) -> None:
    family = Family("room_left", "gauge", ("who",), "Room.", gauge_merge=merge)
    one, other = shared(tmp_path), shared(tmp_path)
    for recorder, level in ((one, 5), (other, 2)):
        recorder.metrics.register(family)
        recorder.metrics.cell(family, "x").set(level)
    assert total(read(one), "room_left") == value
    other.metrics.remove(family, "x")
    assert total(read(one), "room_left") == 5
    other.metrics.cell(family, "x").add(2)
    assert total(read(one), "room_left") == value


def test_files_that_were_closed_under_us_are_left_alone(tmp_path: Path) -> None:
    failed: list[BaseException] = []
    storage = multiprocess.MappedStorage(tmp_path / "metrics", failed.append)
    numbers = [storage._index_file, storage._values_file]
    others = [os.dup2(os.open(tmp_path / f"other-{number}", os.O_RDWR | os.O_CREAT), number) for number in numbers]
    storage.allocate(Family("made_up_total", "counter", ("a",), "Made up."), ("x",), 1)
    assert isinstance(failed[0], OSError)
    storage.close()
    for number in others:
        assert os.fstat(number).st_size == 0
        os.close(number)
