"""Metrics of the recent past outlive the console: a small file a minute, read at the next start."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from support.console_client import Client
from tachograph.console import start
from tachograph.console.metric_snapshots import MAX_BYTES, MetricSnapshots
from tachograph.console.promql import PromQLEngine
from tachograph.console.promql.labels import labels_of
from tachograph.console.tsdb import TimeSeriesStore
from tachograph.recorder import Recorder

CALLS = "sum(llm_call_seconds_count)"


def now() -> int:
    return int(time.time() * 1000)


def up(**labels: str) -> tuple[tuple[str, str], ...]:
    return labels_of({"__name__": "up", **labels})


def kept(directory: Path, *samples: tuple[int, float]) -> None:
    """Files of a console that has ended."""
    store = TimeSeriesStore()
    keeper = MetricSnapshots(directory, store)
    for at, value in samples:
        store.ingest("a", at, [(up(job="x"), value)])
    keeper.close()


def loaded(directory: Path) -> TimeSeriesStore:
    """What a console begins with."""
    store = TimeSeriesStore()
    keeper = MetricSnapshots(directory, store)
    keeper.load()
    keeper.close()
    return store


def value(store: TimeSeriesStore, at: int, query: str = "up") -> list[float]:
    return [float(values[0]) for _, _, values in PromQLEngine(store).instant(query, at).series]


def test_a_restarted_console_shows_the_metrics_of_before(tmp_path: Path, recorder: Recorder) -> None:
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt()
    call.finish("success")
    before = now() - 60_000
    with start(port=0, recorder=recorder, step_seconds=300, data_dir=tmp_path) as served:
        served.console.store.ingest("past", before, [(up(job="x"), 7.0)])
        served.console.tick()
    seen = served.console.store.bounds()[1]
    with start(port=0, step_seconds=300, data_dir=tmp_path) as served:
        served.console.wait_until_loaded()
        assert value(served.console.store, seen, CALLS) == [1.0]
        assert value(served.console.store, before) == [7.0]
        assert value(served.console.store, now(), CALLS) == [], "they have not been shown since"
    with start(port=0, step_seconds=300, data_dir=tmp_path) as served:
        query = Client(served.url, served.token).get(f"/api/v1/query?query=up&time={before / 1000}")
        assert [series["value"][1] for series in query["data"]["result"]] == ["7"], "asked at once, it waits for them"
        assert value(served.console.store, before) == [7.0], "and so on, from one start to the next"


def test_each_file_has_what_is_new_and_together_they_are_everything(tmp_path: Path) -> None:
    store, base = TimeSeriesStore(), now() - 600_000
    keeper = MetricSnapshots(tmp_path, store)
    for minute in range(5):
        for step in range(3):
            store.append(up(job="x"), base + minute * 60_000 + step, float(minute * 3 + step))
        keeper.write()
    keeper.close()
    assert len(list(tmp_path.glob("*.part"))) == 5
    again = loaded(tmp_path)
    assert again.sample_count == 16  # and the mark at the end
    assert value(again, base + 240_002) == [14.0]


def test_new_samples_follow_those_that_were_kept(tmp_path: Path) -> None:
    base = now() - 100_000
    kept(tmp_path, (base, 1.0), (base + 5000, 2.0))
    store = loaded(tmp_path)
    assert store.ingest("a", base + 10_000, [(up(job="x"), 3.0)]) == 1
    assert value(store, base + 10_000) == [3.0]
    assert value(store, base + 10_000, "sum_over_time(up[1m])") == [6.0]


def test_what_came_while_they_were_read_stays_behind_them(tmp_path: Path) -> None:
    base = now() - 100_000
    kept(tmp_path, (base, 1.0), (base + 5000, 2.0))
    store = TimeSeriesStore()
    assert store.append(up(job="x"), base + 10_000, 30.0)
    keeper = MetricSnapshots(tmp_path, store)
    assert keeper.load() == 2
    assert value(store, base + 10_000) == [30.0]
    assert value(store, base + 5000, "sum_over_time(up[1m])") == [3.0]
    assert value(store, base + 10_000, "sum_over_time(up[1m])") == [33.0]
    keeper.close()
    assert value(loaded(tmp_path), base + 10_000, "sum_over_time(up[1m])") == [33.0], "and is kept itself"


def test_what_was_kept_of_later_than_what_is_there_is_left_out(tmp_path: Path) -> None:
    base = now() - 100_000
    kept(tmp_path, (base, 1.0), (base + 10_000, 2.0))
    store = TimeSeriesStore()
    assert store.append(up(job="x"), base + 5000, 30.0)
    keeper = MetricSnapshots(tmp_path, store)
    assert keeper.load() == 1
    keeper.close()
    assert value(store, base + 10_000, "sum_over_time(up[1m])") == [31.0]


def test_damaged_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    base = now() - 100_000
    kept(tmp_path, (base, 1.0))
    (sound,) = tmp_path.glob("*.part")
    stamp = int(sound.stem)
    (tmp_path / f"{stamp + 1:015d}.part").write_bytes(sound.read_bytes()[:-20])
    (tmp_path / f"{stamp + 2:015d}.part").write_bytes(b"not ours")
    (tmp_path / f"{stamp + 3:015d}.part").write_bytes(b"")
    (tmp_path / "notes.part").write_text("somebody's")
    assert value(loaded(tmp_path), base) == [1.0]


def test_files_past_the_retention_or_the_size_go(tmp_path: Path) -> None:
    old = tmp_path / f"{now() - 7 * 3_600_000:015d}.part"
    large = tmp_path / f"{now() - 3_600_000:015d}.part"
    old.touch()
    with large.open("wb") as file:
        file.truncate(MAX_BYTES)
    kept(tmp_path, (now() - 1000, 1.0))
    assert len(list(tmp_path.glob("*.part"))) == 1
    assert not old.exists()
    assert not large.exists()


def test_samples_from_a_clock_that_ran_ahead_do_not_stop_new_ones(tmp_path: Path) -> None:
    kept(tmp_path, (now() + 3_600_000, 1.0))
    store = loaded(tmp_path)
    assert store.sample_count == 0
    assert store.append(up(job="x"), now(), 2.0)


def test_a_second_console_of_a_directory_leaves_the_first_one_s_files_alone(tmp_path: Path) -> None:
    first, second = TimeSeriesStore(), TimeSeriesStore()
    keeper, other = MetricSnapshots(tmp_path, first), MetricSnapshots(tmp_path, second)
    second.append(up(job="second"), now() - 1000, 2.0)
    other.close()
    assert list(tmp_path.glob("*.part")) == []
    first.append(up(job="first"), now() - 1000, 1.0)
    keeper.close()
    assert loaded(tmp_path).label_values("job") == ["first"]


def test_a_directory_that_cannot_be_used_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = TimeSeriesStore()
    keeper = MetricSnapshots(tmp_path / "file" / "metrics", store)
    store.append(up(job="x"), now(), 1.0)
    assert keeper.load() == 0
    keeper.close()


def test_entries_that_are_no_files_of_ours_stop_nothing_and_stay(tmp_path: Path) -> None:
    base = now() - 100_000
    kept(tmp_path, (base, 1.0))
    odd = [tmp_path / f"{now() + 1000 + number:015d}.part" for number in range(3)]
    os.mkfifo(odd[0])
    odd[1].mkdir()
    odd[2].symlink_to(odd[2].name)
    (tmp_path / "²²²²²²²²²²²²²²².part").touch()
    before = set(os.listdir(tmp_path))
    assert value(loaded(tmp_path), base) == [1.0]
    assert before <= set(os.listdir(tmp_path))


def test_a_clock_that_jumps_forward_removes_a_few_files_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = now() - 1_200_000
    for minute in range(10):
        kept(tmp_path, (base + minute * 60_000, float(minute)))
        max(tmp_path.glob("*.part")).rename(tmp_path / f"{base + minute * 60_000:015d}.part")
    with monkeypatch.context() as jump:
        jump.setattr("tachograph.console.metric_snapshots.time.time", lambda: base / 1000 + 40 * 365 * 86_400)
        kept(tmp_path, (base + 600_000, 10.0))
    assert value(loaded(tmp_path), base + 599_000) == [9.0]
    assert len(list(tmp_path.glob("*.part"))) >= 8
