"""Files of every edition, frozen (tests/frozen/make.py): they open, migrate, drain and report as they did."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder, metric, stored_numbers, sums
from tachograph.usage.migrations import migrate
from tachograph.usage.stores import schema
from tachograph.usage.stores.open import open_store

FROZEN = Path(__file__).parents[1] / "frozen"
SETS = sorted(path.name.removesuffix(".tar.gz") for path in FROZEN.glob("*.tar.gz"))


@pytest.fixture(params=SETS)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of a set's files, and what they hold."""
    with tarfile.open(FROZEN / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path, json.loads((FROZEN / f"{request.param}.json").read_text("utf-8"))


def test_there_is_a_set_of_the_first_edition_and_of_the_present_tables(tmp_path: Path) -> None:
    assert "first-edition" in SETS
    versions = []
    for name in SETS:
        with tarfile.open(FROZEN / f"{name}.tar.gz") as archive:
            archive.extractall(tmp_path / name, filter="data")
        store = open_store(f"sqlite:///{tmp_path / name / 'ledger.db'}", read_only=True, create=False)
        versions.append(store.version())
        store.close()
    assert schema.HEAD in versions, "run tests/frozen/make.py: the tables have a version without a frozen set"


def test_a_frozen_ledger_migrates_drains_its_journal_and_reports_alike(frozen: tuple[Path, dict[str, Any]]) -> None:
    directory, expected = frozen
    url = f"sqlite:///{directory / 'ledger.db'}"
    migrate(url)
    store = open_store(url, read_only=True)
    assert store.count() == expected["rows"]
    for raw in (True, False):
        found = sums(store, raw=raw)
        assert {name: found[name] for name in expected["stored"]} == expected["stored"]
    store.close()
    recorder = make_recorder(directory, writer="external")
    assert recorder.ledger.drain(30)
    numbers = stored_numbers(recorder.ledger)
    assert [number for number in numbers if number >= 0] == list(range(40))
    assert metric(recorder, "llm_usage_records_lost_total") == 0
    assert metric(recorder, "llm_usage_records_quarantined_total") == 0
    assert not list((directory / "journals").glob("*.journal"))


def test_a_frozen_console_opens_with_its_calls(frozen: tuple[Path, dict[str, Any]]) -> None:
    pytest.importorskip("numpy")
    from tachograph.console.store import CallStore

    directory, expected = frozen
    store = CallStore(directory / "console.db", max_age_seconds=1e10)
    try:
        assert store.count == expected["console"] == 12
    finally:
        store.close()
