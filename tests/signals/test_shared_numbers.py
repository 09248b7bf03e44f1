"""Numbers in a shared directory to the last byte: what a process writes, what its siblings read, and what they keep."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import stat
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from tachograph.files import UnsafeFile
from tachograph.signals import exposition, multiprocess
from tachograph.signals.cells import Sample, zeros
from tachograph.signals.families import LABEL_OVERFLOW
from tachograph.signals.family import Family
from tachograph.signals.multiprocess import MappedStorage, is_alive
from tachograph.signals.registry import Metrics

DONE = Family("done_total", "counter", ("who", "what"), "Done.", bounded=("who",))
SPENT = Family("spent_total", "counter", ("who",), "Spent.", scale=1000)
LEVEL = Family("level", "gauge", ("who",), "Level.")
HIGHEST = Family("highest", "gauge", ("who",), "Highest.", gauge_merge="max")
LOWEST = Family("lowest", "gauge", ("who",), "Lowest.", gauge_merge="min")
TOOK = Family("took_seconds", "histogram", ("who",), "Took.", buckets=(1, 2))
EVERY = (DONE, SPENT, LEVEL, HIGHEST, LOWEST, TOOK)


@pytest.fixture
def failures() -> list[BaseException]:
    return []


def on(directory: Path, failures: list[BaseException] | None = None, **how: Any) -> Metrics:
    failed: Any = pytest.fail if failures is None else failures.append
    return Metrics(EVERY, storage=MappedStorage(directory, failed, **how))


def shown(metrics: Metrics) -> dict[tuple[str, ...], list[float]]:
    return {(family.name, *one.labels): list(one.values) for family, found in metrics.collect() for one in found}


def index_of(directory: Path) -> Path:
    (path,) = directory.glob("*.index")
    return path


def lines_of(directory: Path) -> list[bytes]:
    """The lines of the only index, without its header."""
    return index_of(directory).read_bytes().split(b"\n")[1:]


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def write_process(directory: Path, name: str, lines: bytes, numbers: bytes) -> Path:
    """The files of a process that is gone."""
    path = directory / f"{name}.index"
    path.write_bytes(b'{"version": 1}\n' + lines)
    path.with_suffix(".values").write_bytes(numbers)
    return path


def test_the_files_of_a_process_to_the_byte(tmp_path: Path) -> None:
    metrics = on(tmp_path / "shared")
    metrics.cell(SPENT, "a").add(7)
    metrics.histogram(TOOK, "b").observe(1.5)
    metrics.cell(DONE, "a", "\u20ac").add(0.25)
    metrics.cell(LEVEL, "c").set(-3)
    path = index_of(tmp_path / "shared")
    header, *lines, last = path.read_bytes().split(b"\n")
    told = json.loads(header)
    assert (told.pop("version"), told.pop("pid"), told.pop("started") <= time.time(), told) == (
        1,
        os.getpid(),
        True,
        {},
    )
    assert (lines, last) == (
        [
            b'[0,1,"q","spent_total",["a"]]',
            b'[1,4,"d","took_seconds",["b"]]',
            b'[5,1,"d","done_total",["a","\\u20ac"]]',
            b'[6,1,"d","level",["c"]]',
        ],
        b"",
    )
    values = path.with_suffix(".values").read_bytes()
    assert values[:56] == struct.pack("<q6d", 7, 1.5, 0, 1, 0, 0.25, -3)
    assert values[56:] == bytes(64 * 1024 - 56)
    assert sorted(os.listdir(path.parent)) == [path.name, path.with_suffix(".values").name]
    assert [stat.S_IMODE(at.stat().st_mode) for at in (path, path.with_suffix(".values"), path.parent)] == [
        0o600, 0o600, 0o700
    ]  # fmt: skip
    pid, moment, mark = path.stem.split("-")
    assert (int(pid), abs(int(moment) / 1e9 - time.time()) < 60, len(mark)) == (os.getpid(), True, 6)
    assert is_alive(path)
    assert metrics.storage._close_files.atexit is False
    metrics.storage.close()
    assert not is_alive(path)


def test_a_cell_that_is_made_again_begins_at_zero_in_its_place(tmp_path: Path) -> None:
    metrics = on(tmp_path)
    metrics.cell(LEVEL, "a").set(5)
    metrics.remove(LEVEL, "a")
    assert ("level", "a") not in shown(metrics)
    metrics.cell(LEVEL, "a").add(2)
    assert shown(metrics)["level", "a"] == [2]
    assert lines_of(tmp_path) == [b'[0,1,"d","level",["a"]]', b""]


def test_a_part_that_is_full_to_the_last_number_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocess, "FIRST_BYTES", 4096)
    monkeypatch.setattr(multiprocess, "MORE_BYTES", 8192)
    metrics = on(tmp_path)
    values = index_of(tmp_path).with_suffix(".values")
    for number in range(128):  # four numbers each: 4,096 bytes
        metrics.histogram(TOOK, f"{number}")
    assert values.stat().st_size == 4096
    metrics.cell(LEVEL, "next").set(9)
    assert values.stat().st_size == 4096 + 8192
    for number in range(255):
        metrics.histogram(TOOK, f"more {number}")
    assert values.stat().st_size == 4096 + 8192
    metrics.histogram(TOOK, "three are left")
    assert values.stat().st_size == 4096 + 2 * 8192
    lines = lines_of(tmp_path)
    assert lines[128:130] == [b'[512,1,"d","level",["next"]]', b'[513,4,"d","took_seconds",["more 0"]]']
    assert lines[-2:] == [b'[1536,4,"d","took_seconds",["three are left"]]', b""]
    assert values.read_bytes()[4096:4104] == struct.pack("<d", 9)


def _fails(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "no space")


@pytest.mark.parametrize(
    ("module", "name"), [(os, "posix_fallocate"), (fcntl, "flock"), (os, "write"), (multiprocess, "mapped")]
)
def test_files_that_cannot_be_begun_leave_nothing_and_are_begun_five_seconds_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[BaseException], module: Any, name: str
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(module, name, _fails)
        metrics = on(tmp_path, failures)
    assert (descriptors(), os.listdir(tmp_path), failures) == (before, [], [])
    assert str(metrics.storage.error) == "[Errno 28] no space"
    metrics.cell(SPENT, "a").add(2**60 + 1)
    metrics.histogram(TOOK, "a").observe(3)
    now += 4.99
    metrics.move_in()
    assert os.listdir(tmp_path) == []
    now += 0.01
    metrics.move_in()
    assert metrics.storage.error is None
    assert index_of(tmp_path).with_suffix(".values").read_bytes()[:40] == struct.pack("<q4d", 2**60 + 1, 3, 0, 0, 1)
    metrics.cell(SPENT, "a").add(1)
    assert index_of(tmp_path).with_suffix(".values").read_bytes()[:8] == struct.pack("<q", 2**60 + 2)


def test_a_line_that_is_cut_short_is_ended_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[BaseException]
) -> None:
    now, write = 100.0, os.write
    monkeypatch.setattr(time, "monotonic", lambda: now)
    metrics, other = on(tmp_path, failures), on(tmp_path / "other")
    metrics.cell(LEVEL, "a").set(1)
    assert other.storage.error is None
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, data[:9]))
        metrics.cell(LEVEL, "b").set(2)
        metrics.cell(LEVEL, "c").set(3)
    assert [(type(error), error.errno) for error in failures] == [(OSError, errno.ENOSPC)]
    assert shown(metrics) == {("level", "a"): [1], ("level", "b"): [2], ("level", "c"): [3]}
    now += 5.0
    metrics.move_in()
    metrics.cell(LEVEL, "d").set(4)
    a, b, c, d = (f'"d","level",["{who}"]]'.encode() for who in "abcd")
    assert lines_of(tmp_path) == [b"[0,1," + a, b'[1,1,"d",', b"[1,1," + b, b"[2,1," + c, b"[3,1," + d, b""]
    reader = on(tmp_path)
    assert shown(reader) == {("level", who): [at + 1] for at, who in enumerate("abcd")}


def test_what_cannot_be_merged_costs_the_siblings_numbers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[BaseException]
) -> None:
    metrics, other = on(tmp_path, failures), on(tmp_path)
    metrics.cell(LEVEL, "a").set(1)
    other.cell(LEVEL, "a").set(2)
    error = OSError(errno.EIO, "no answer")

    def stamp() -> object:
        raise error

    metrics.storage._siblings._stamp = stamp
    assert shown(metrics) == {("level", "a"): [1]}
    assert failures == [error]
    numbers = iter(range(100))
    metrics.storage._siblings._stamp = lambda: next(numbers)
    metrics.storage._siblings._archived = lambda: ({}, set())
    assert shown(metrics) == {("level", "a"): [1]}
    assert str(failures[1]) == f"the archive in {tmp_path} does not stand still"
    assert next(numbers) == 40, "twenty tries"


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        (b'[0,1,"d","level",["a"]]', True),
        (b'[0,1,"q","level",["a"]]', True),
        (b'[0, 1, "q", "level", ["a"]]', True),
        (b'[0,1,"f","level",["a"]]', False),
        (b'[-1,1,"d","level",["a"]]', False),
        (b'[0,0,"d","level",["a"]]', False),
        (b'[0,-1,"d","level",["a"]]', False),
        (b'[0,1,"d",5,["a"]]', False),
        (b'[0,1,"d","level",5]', False),
        (b'["0",1,"d","level",["a"]]', False),
        (b'[0,1,"d","level"]', False),
        (b'[0,1,"d","level",["a"],6]', False),
        (b'{"version": 1}', False),
        (b"[" * 100_000, False),
        (b"\xff", False),
        (b"", False),
    ],
)
def test_a_line_of_an_index_says_where_numbers_are_or_nothing(line: bytes, is_read: bool) -> None:
    entry = multiprocess._entry(line)
    assert (entry is not None) == is_read
    if entry is not None:
        assert entry == (0, 1, line.decode().partition('"')[2][0], ("level", ("a",)))


def test_an_index_is_read_as_it_grows(tmp_path: Path) -> None:
    path = write_process(tmp_path, "x", b"", struct.pack("<dqd", 1.5, 2**62, 3.5))
    sibling = multiprocess._Sibling(path)
    assert sibling.read() == []
    found: list[Any] = []
    lines = b'[0,1,"d","a",["x"]]\nnot json\n[1,1,"q","b",[]]\n[1,2,"d","c",[]]\n[2,2,"d","beyond",[]]\n'
    with path.open("ab") as index:
        for at in range(len(lines)):
            index.write(lines[at : at + 1])
            index.flush()
            found.append(sibling.read())
    assert [(count, next(read for read in found if len(read) == count)[:2]) for count in (0, 1, 2)] == [
        (0, []),
        (1, [(("a", ("x",)), [1.5])]),
        (2, [(("a", ("x",)), [1.5]), (("b", ()), [2**62])]),
    ]
    assert found[-1][2:] == [(("c", ()), [struct.unpack("<d", struct.pack("<q", 2**62))[0], 3.5])]
    assert sibling._parsed == path.stat().st_size
    path.with_suffix(".values").write_bytes(struct.pack("<dq", 2.5, 5) + b"1234567")
    assert sibling.read() == [(("a", ("x",)), [2.5]), (("b", ()), [5])]


def test_numbers_that_do_not_fit_their_family_are_left_out(tmp_path: Path) -> None:
    metrics = on(tmp_path)
    lines = [
        [0, 1, "d", "level", ["a"]],
        [0, 2, "d", "level", ["two numbers"]],
        [0, 1, "d", "level", ["too", "many"]],
        [0, 1, "d", "unknown", ["a"]],
        [0, 3, "d", "took_seconds", ["three"]],
        [0, 4, "d", "took_seconds", ["four"]],
        [0, 5, "d", "took_seconds", ["five"]],
        [4, 1, "d", "level", ["removed"]],
    ]
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    path = write_process(tmp_path, "x", text, struct.pack("<5d", 1, 2, 3, 4, math.nan))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # it lives
        (_, level), (_, took) = [one for one in metrics.collect() if one[1]]
        assert [(one.labels, one.text, one.values, one.exemplars) for one in [*level, *took]] == [
            (("a",), 'who="a"', [1], None), (("four",), 'who="four"', [1, 2, 3, 4], None)
        ]  # fmt: skip
    assert shown(metrics) == {("took_seconds", "four"): [1, 2, 3, 4]}, "a gauge goes with its process"


@pytest.mark.parametrize(("family", "merged"), [(LEVEL, 7.0), (HIGHEST, 5.0), (LOWEST, -2.0), (DONE, 7.0)])
def test_numbers_of_the_living_are_merged_as_their_family_says(tmp_path: Path, family: Family, merged: float) -> None:
    processes = [on(tmp_path) for _ in range(3)]
    labels = ("a", "b")[: len(family.labels)]
    for process, value in zip(processes, (4, -2, 5), strict=True):
        process.cell(family, *labels).set(value)
    for process in processes:
        assert shown(process) == {(family.name, *labels): [merged]}


def test_the_archive_to_the_letter(tmp_path: Path) -> None:
    living = on(tmp_path)
    for value in (1, 2):
        ended = on(tmp_path)
        ended.cell(DONE, "a", "x").add(value)
        ended.cell(SPENT, "a").add(value)
        ended.cell(LEVEL, "a").set(value)
        ended.histogram(TOOK, "a").observe(value)
        identity = ended.storage.id
        ended.storage.close()
        assert shown(living) == {
            ("done_total", "a", "x"): [(1, 3)[value - 1]],
            ("spent_total", "a"): [(0.001, 0.003)[value - 1]],
            ("took_seconds", "a"): [(1, 3)[value - 1], 1, value - 1, 0],
        }
        archive = tmp_path / "archive.json"
        assert json.loads(archive.read_bytes()) == {
            "version": 1,
            "merged": [identity],
            "cells": [
                ["done_total", ["a", "x"], [(1, 3)[value - 1]]],
                ["spent_total", ["a"], [(1, 3)[value - 1]]],
                ["took_seconds", ["a"], [(1, 3)[value - 1], 1, value - 1, 0]],
            ],
        }
        names = {path.name for path in tmp_path.iterdir()}
        own = living.storage.id
        assert names == {"archive.json", "archive.lock", f"{own}.index", f"{own}.values"}
        assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("archive.json", "archive.lock")] == [
            0o600, 0o600
        ]  # fmt: skip


def test_two_that_merge_at_once_count_once(tmp_path: Path, failures: list[BaseException]) -> None:
    living, ended = on(tmp_path, failures), on(tmp_path)
    ended.cell(DONE, "a", "x").add(3)
    ended.storage.close()
    (tmp_path / "archive.lock").touch()
    before = descriptors()
    with (tmp_path / "archive.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert shown(living) == {("done_total", "a", "x"): [3]}
        assert not (tmp_path / "archive.json").exists()
    assert shown(living) == {("done_total", "a", "x"): [3]}
    assert (tmp_path / "archive.json").exists()
    assert (descriptors(), failures) == (before, [])


def test_an_archive_that_cannot_be_written_leaves_no_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[BaseException]
) -> None:
    living, ended = on(tmp_path, failures), on(tmp_path)
    ended.cell(DONE, "a", "x").add(3)
    ended.storage.close()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _fails)
        assert shown(living) == {("done_total", "a", "x"): [3]}
    assert [str(error) for error in failures] == ["[Errno 28] no space"]
    assert [path.name for path in tmp_path.glob("archive.*")] == ["archive.lock"]
    assert shown(living) == {("done_total", "a", "x"): [3]}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, failures: list[BaseException]) -> None:
    living = on(tmp_path, failures)
    (tmp_path / "a.index").mkdir()
    (tmp_path / "b.index").symlink_to("nowhere")
    write_process(tmp_path, "c", b"", b"").with_suffix(".values").unlink()
    living.cell(LEVEL, "a").set(1)
    assert shown(living) == {("level", "a"): [1]}
    assert [(type(error), str(error)) for error in failures] == [
        (UnsafeFile, f"{tmp_path / 'a.index'} is not a plain file"),
        (UnsafeFile, f"{tmp_path / 'b.index'} is a symbolic link"),
        (FileNotFoundError, f"[Errno 2] {tmp_path / 'c.index'}: No such file or directory"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"cells": []}', '{"merged": []}', '{"cells": [["a", ["b"]]], "merged": []}', "[" * 100_000,
     '{"cells": [["a", ["b"], ["c"]]], "merged": []}', '{"cells": [["a", ["b"], [null]]], "merged": []}',
     '{"cells": [["a", 5, [1]]], "merged": []}', '{"cells": [["a", ["b"], 5]], "merged": []}'],
)  # fmt: skip
def test_an_archive_that_is_none_is_set_aside_with_its_bytes(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "archive.json").write_text(text)
    living = on(tmp_path)
    living.cell(LEVEL, "a").set(1)
    for _ in range(2):
        assert shown(living) == {("level", "a"): [1]}
    assert not (tmp_path / "archive.json").exists()
    assert (tmp_path / "archive.damaged").read_text() == text
    (record,) = caplog.records
    assert record.getMessage().startswith(f"tachograph: {tmp_path / 'archive.json'} cannot be read (")
    assert record.getMessage().endswith(") and is now archive.damaged: counters lose what ended processes had counted")


def test_an_archive_is_read_again_when_it_changes(tmp_path: Path) -> None:
    living = on(tmp_path)
    archive = tmp_path / "archive.json"
    for number in (1, 22):
        archive.write_text(json.dumps({"cells": [["done_total", ["a", "x"], [number]], ["level", ["a"], [0.5]],
                                                 ["gone_total", ["a"], [1]]], "merged": ["x"]}))  # fmt: skip
        assert shown(living) == {("done_total", "a", "x"): [number], ("level", "a"): [0.5]}
    write_process(tmp_path, "x", b'[0,1,"d","done_total",["a","x"]]\n', struct.pack("<d", 5))
    assert shown(living)["done_total", "a", "x"] == [22], "what it names is in it"
    archive.unlink()
    assert shown(living) == {("done_total", "a", "x"): [5]}


def test_only_bounded_labels_become_other_in_the_archive() -> None:
    bound = multiprocess._Bound(
        {DONE.name: DONE, SPENT.name: SPENT},
        2,
        [("done_total", ("a", "x")), ("done_total", ("too", "many", "labels")), ("unknown", ("c",))],
    )
    for labels, kept in (
        (("a", "y"), ("a", "y")),
        (("b", "z"), ("b", "z")),
        (("c", "x"), ("other", "x")),
        (("other", "x"), ("other", "x")),
        (("", "x"), ("", "x")),
        (("b", "w"), ("b", "w")),
    ):
        assert bound(DONE, ("done_total", labels)) == ("done_total", kept)
    for number in range(5):
        assert bound(SPENT, ("spent_total", (f"{number}",))) == ("spent_total", (f"{number}",))


def test_an_archive_that_has_not_changed_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    living = on(tmp_path)
    (tmp_path / "archive.json").write_text('{"cells": [["level", ["a"], [0.5]]], "merged": []}')
    looked, real = list[str](), multiprocess._read_plain

    def look(path: Path) -> bytes:
        looked.append(path.name)
        return real(path)

    monkeypatch.setattr(multiprocess, "_read_plain", look)
    for _ in range(3):
        assert shown(living) == {("level", "a"): [0.5]}
    assert looked == ["archive.json"]
    (tmp_path / "archive.json").unlink()
    assert shown(living) == {}
    assert looked == ["archive.json"]


def test_files_that_another_process_has_removed_meanwhile_are_no_failure(tmp_path: Path) -> None:
    living, ended = on(tmp_path), on(tmp_path)
    ended.cell(DONE, "a", "x").add(3)
    ended.storage.close()
    siblings = living.storage._siblings
    write = siblings._write_archive

    def write_and_remove(*what: Any) -> None:
        write(*what)
        for path in tmp_path.glob(f"{ended.storage.id}.*"):
            path.unlink()

    siblings._write_archive = write_and_remove
    for _ in range(2):
        assert shown(living) == {("done_total", "a", "x"): [3]}


def test_where_space_cannot_be_allocated_ahead_the_file_is_made_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr(multiprocess, "FIRST_BYTES", 4096)
    monkeypatch.setattr(multiprocess, "MORE_BYTES", 8192)
    metrics = on(tmp_path)
    values = index_of(tmp_path).with_suffix(".values")
    assert values.stat().st_size == 4096
    for number in range(129):
        metrics.histogram(TOOK, f"{number}").observe(number)
    assert values.stat().st_size == 4096 + 8192
    assert shown(on(tmp_path))["took_seconds", "128"] == [128, 0, 0, 1]


def test_a_forked_child_closes_the_parents_files_and_begins_its_own_later(tmp_path: Path) -> None:
    before = descriptors()
    metrics = on(tmp_path)
    metrics.cell(LEVEL, "a").set(5)
    parents = index_of(tmp_path)
    assert len(descriptors() - before) == 2
    metrics._after_fork()
    assert descriptors() == before
    assert list(tmp_path.glob("*.index")) == [parents]
    metrics.cell(LEVEL, "a").add(2)
    assert len(descriptors() - before) == 2
    (own,) = set(tmp_path.glob("*.index")) - {parents}
    assert own.with_suffix(".values").read_bytes()[:8] == struct.pack("<d", 2)
    assert parents.with_suffix(".values").read_bytes()[:8] == struct.pack("<d", 5)


def test_two_hundred_values_of_a_label_are_kept_unless_another_limit_is_given(tmp_path: Path) -> None:
    assert on(tmp_path).storage._siblings.limit == Metrics(()).limit == 200
    assert on(tmp_path, limit=3).storage._siblings.limit == Metrics((), limit=3).limit == 3


class Noting:
    """A storage in memory: what it is asked for is noted."""

    error: OSError | None = None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def allocate(self, family: Family, labels: tuple[str, ...], size: int) -> list[Any]:
        self.asked.append(f"allocate {family.name} {size}")
        return zeros(size)

    def merge(self, own: Any) -> Any:
        return own

    def leave(self) -> None:
        self.asked.append("leave")

    def reopen(self) -> bool:
        self.asked.append("reopen")
        return True

    def close(self) -> None:
        self.asked.append("close")


def test_a_handler_at_fork_opens_no_file_and_the_next_cell_that_is_asked_for_does() -> None:
    storage = Noting()
    metrics = Metrics((LEVEL, TOOK), storage=storage)
    metrics.cell(LEVEL, "a").add(5)
    assert storage.asked == ["allocate level 1"]
    storage.asked.clear()
    metrics.when_rebound(lambda: metrics.cell(LEVEL, "a").add(2))
    metrics._after_fork()
    assert storage.asked == ["leave"]
    metrics.histogram(TOOK, "b").observe(1)
    assert storage.asked == ["leave", "reopen", "allocate level 1", "allocate took_seconds 4"]
    assert shown(metrics) == {("level", "a"): [2], ("took_seconds", "b"): [1, 1, 0, 0]}
    metrics.move_in()
    assert len(storage.asked) == 4


def test_a_new_cell_holds_whole_numbers() -> None:
    assert [(number, type(number)) for number in zeros(1)] == [(0, int)]
    for size in (2, 3, 5):
        assert [(number, type(number)) for number in zeros(size)] == [(0, float)] + [(0, int)] * (size - 1)


# The registry and the text, where one process is enough


@pytest.fixture
def metrics() -> Metrics:
    return Metrics((*EVERY, LABEL_OVERFLOW))


def test_whole_numbers_stay_exact_in_memory_and_after_a_fork(metrics: Metrics) -> None:
    for _ in range(2):
        for family in (SPENT, LEVEL):
            cell = metrics.cell(family, "a")
            cell.add(2**60)
            cell.add(1)
            assert list(cell.values) == [2**60 + 1]
        assert list(metrics.histogram(TOOK, "a").values) == [0.0, 0, 0, 0]
        assert [type(number) for number in metrics.histogram(TOOK, "a").values] == [float, int, int, int]
        metrics._after_fork()
        assert metrics._has_left is True
        assert [cell.exemplars for cell in metrics._cells["took_seconds"].values()] == [None]


def test_the_users_labels_are_added_empty_where_a_caller_has_none_and_are_bounded() -> None:
    asked = Family("asked_total", "counter", ("who",), "Asked.", bounded=("who",), takes_user_labels=True)
    plain = Family("plain_total", "counter", ("who",), "Plain.")
    metrics = Metrics((asked, plain, LABEL_OVERFLOW), limit=2, user_labels=["team", "tier"])
    assert metrics.families["asked_total"].labels == ("who", "team", "tier")
    assert metrics.families["asked_total"].bounded == ("who", "team", "tier")
    assert metrics.families["plain_total"] is plain
    for labels in (("a",), ("a", "x"), ("a", "y", "1"), ("a", "z", "1"), ("a", "z", "1")):
        metrics.cell(asked, *labels).add()
    metrics.cell(plain, "b").add()
    assert shown(metrics) == {
        ("asked_total", "a", "", ""): [1],
        ("asked_total", "a", "x", ""): [1],
        ("asked_total", "a", "y", "1"): [1],
        ("asked_total", "a", "other", "1"): [2],
        ("plain_total", "b"): [1],
        ("tachograph_label_overflow_total", "asked_total", "team"): [2],
    }
    with pytest.raises(ValueError, match="asked_total takes the labels"):
        metrics.cell(asked, "a", "b", "c", "d")
    metrics.register(asked)
    assert metrics.families["asked_total"].labels == ("who", "team", "tier")


def test_the_pair_that_is_one_too_many_keeps_its_first_value_and_is_counted_under_the_last_label() -> None:
    asked = Family("asked_total", "counter", ("n", "a", "m", "b"), "Asked.", bounded=("a", "b"))
    metrics = Metrics((asked, LABEL_OVERFLOW), limit=5)
    pairs = [(f"{a}", f"{b}") for a in range(5) for b in range(5)]
    for a, b in [*pairs, *pairs, ("0", "other"), ("other", "0")]:
        metrics.cell(asked, "n", a, "m", b).add()
    assert len(shown(metrics)) == 27
    assert not [key for key in shown(metrics) if key[0] == LABEL_OVERFLOW.name]
    many = Metrics((asked, LABEL_OVERFLOW), limit=6)
    for a, b in [(f"{a}", f"{b}") for a in range(6) for b in range(5)]:
        many.cell(asked, "n", a, "m", b).add()
    for _ in range(2):
        many.cell(asked, "n", "3", "m", "5").add()
    found = shown(many)
    assert found["asked_total", "n", "3", "m", "other"] == [2]
    assert [(key, value) for key, value in found.items() if key[0] == LABEL_OVERFLOW.name] == [
        ((LABEL_OVERFLOW.name, "asked_total", "b"), [2])
    ]
    assert many.admit(asked, ("n", "3", "m", "4")) == ("n", "3", "m", "4")


def test_families_with_the_same_bounded_labels_share_their_pairs_and_others_do_not() -> None:
    one, two = (Family(name, "counter", ("a", "b"), "Pairs.", bounded=("a", "b")) for name in ("one", "two"))
    other = Family("other_pairs", "counter", ("a", "c"), "Pairs.", bounded=("a", "c"))
    metrics = Metrics((one, two, other), limit=6)
    for number in range(30):
        metrics.admit(one, (f"{number % 6}", f"{number // 6}"))
    assert metrics.admit(two, ("0", "0")) == ("0", "0")
    assert metrics.admit(two, ("0", "5")) == ("0", "other")
    assert metrics.admit(other, ("0", "5")) == ("0", "5")


def test_label_sets_that_are_known_beforehand_begin_at_zero() -> None:
    every = Family("every_total", "counter", ("a", "b"), "Every.", zero={"a": ("1", "2"), "b": ("x",)})
    some = Family("some_total", "counter", ("a", "b"), "Some.", zero={"a": ("1", "2")})
    alone = Family("alone_total", "counter", (), "Alone.")
    assert shown(Metrics((every, some, alone))) == {
        ("every_total", "1", "x"): [0], ("every_total", "2", "x"): [0], ("alone_total",): [0]
    }  # fmt: skip


def test_a_label_value_that_cannot_be_hashed_is_its_text(metrics: Metrics) -> None:
    for _ in range(2):
        metrics.cell(LEVEL, ["a"]).add()
    assert list(shown(metrics).values()) == [[2]]
    assert metrics.cell(LEVEL, "b") is metrics.cell(LEVEL, "b")


def test_a_part_is_made_once_for_each_registry(metrics: Metrics) -> None:
    made: list[Metrics] = []

    def make(of: Metrics) -> list[int]:
        made.append(of)
        return []

    assert metrics.part(make) is metrics.part(make)
    other = Metrics(())
    assert other.part(make) is not metrics.part(make)
    assert made == [metrics, other]


def test_samples_without_labels_stand_without_braces() -> None:
    alone = Family("alone_total", "counter", (), "Alone.")
    empty = Family("empty_total", "counter", ("who",), "Empty.")
    metrics = Metrics((alone, empty))
    metrics.cell(alone).add(3)
    metrics.cell(empty, "").add(2)
    samples = [Sample(("",), "", [2])]
    assert exposition.write([(alone, [Sample((), "", [3])]), (empty, samples)]) == (
        "# HELP alone_total Alone.\n# TYPE alone_total counter\nalone_total 3\n"
        "# HELP empty_total Empty.\n# TYPE empty_total counter\nempty_total 2\n"
    )
    assert exposition.write([], "openmetrics") == "# EOF\n"
    assert exposition.write([]) == ""
    assert repr(samples[0]) == "Sample({}, [2])"


@pytest.mark.parametrize(
    ("header", "allowed"),
    [(None, False), ("", False), ("gzip", True), (" GZIP ", True), ("deflate,gzip", True), ("deflate, gzip", True),
     ("gzip;q=0.5", True), ("gzip; q=0.001 ", True), ("gzip;q=0", False), ("gzip;q=0.0, br", False),
     ("gzip;q=x", False), ("br;q=1.0,gzip;level=1;q=0", False), ("gzip;level=1", True), 
     ("x-gzip", False), ("*", False), ("gzip2", False),
     ("gzip;q=0,gzip", False), ("gzip br", False), ("br gzip,identity", False)],
)  # fmt: skip
def test_gzip_is_used_where_it_is_allowed_by_name(header: str | None, allowed: bool) -> None:
    assert exposition.accepts_gzip(header) is allowed


@pytest.mark.parametrize(
    ("header", "format_"),
    [(None, "text"), ("", "text"), ("application/openmetrics-text", "openmetrics"), ("text/html", "text"),
     ("application/openmetrics-text;version=1.0.0", "openmetrics"),
     ('application/openmetrics-text; version="0.0.1"', "openmetrics"),
     ("application/openmetrics-text;version=2.0.0", "text"), ("application/openmetrics-text;q=0", "text"),
     ("APPLICATION/OpenMetrics-Text ; Q=0.1", "openmetrics"),
     ("text/plain;q=0.5,application/openmetrics-text;q=0.6", "openmetrics"),
     ("text/plain;q=0.6,application/openmetrics-text;q=0.5", "text"),
     ("application/openmetrics-text,text/plain", "openmetrics"), ("text/plain,application/openmetrics-text", "text"),
     ("text/*;q=0.3,application/openmetrics-text;q=0.2", "text"), ("*/*,application/openmetrics-text", "text"),
     ("image/png,application/openmetrics-text;q=0.2", "openmetrics"), ("application/openmetrics-text;q=x", "text")],
)  # fmt: skip
def test_the_format_is_the_one_with_the_greatest_weight(header: str | None, format_: str) -> None:
    assert exposition.negotiate(header) == format_


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-3, "-3"), (2**70, "1180591620717411303424"), (0.0, "0"), (-0.5, "-0.5"), (1e15, "1000000000000000.0"),
     (1e15 - 1, "999999999999999"), (-1e15, "-1000000000000000.0"), (1e16, "1e+16"), (1 / 3, "0.3333333333333333")],
)  # fmt: skip
def test_a_number_is_written_in_full(value: float, text: str) -> None:
    assert exposition._number(value) == text
