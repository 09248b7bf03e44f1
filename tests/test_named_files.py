"""A file that a person names can be anything: each reader says soon what is wrong with which file."""

from __future__ import annotations

import os
import pwd
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tachograph
from tachograph import runtime
from tachograph.cli.fire_drill import read_rules
from tachograph.console.notify.secrets import SecretMissing, read
from tachograph.errors import TachographError
from tachograph.mcp.config import load_config
from tachograph.pricing import Pricer
from tachograph.recorder import Recorder
from tachograph.settings import Settings, load
from tachograph.settings.notify import Webhook
from tachograph.usage.reconcile import focus, google, pages


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 32 << 30)


KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": _fifo,
    "directory": Path.mkdir,
    "socket": _socket,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "full device": lambda path: path.symlink_to("/dev/full"),
    "loop of links": lambda path: path.symlink_to(path.name),
    "32 GB": _sparse,
    "other encoding": lambda path: path.write_text("[metrics]\n", "utf-16") and None,
    "deeply nested": lambda path: path.write_text("[" * 200_000, "utf-8") and None,
}


def _rules(path: Path) -> object:
    found = read_rules(path.parent, Settings())
    if path.is_file():  # rules are not parsed here
        raise TachographError("", where=str(path))
    return found


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "settings": ("t.toml", lambda path: load(environ={"TACHOGRAPH_CONFIG": str(path)})),
    "prices": ("p.toml", lambda path: Pricer(path)),
    "MCP servers": ("mcp.json", lambda path: load_config(path)),
    "secret": ("key", lambda path: read(Webhook(url_file=str(path)), "url")),
    "OpenAI's bill": ("bill.json", lambda path: list(pages.from_files([path]))),
    "Google's bill": ("bill.csv", lambda path: list(google.saved([path]))),
    "Google's bill, JSON": ("bill.jsonl", lambda path: list(google.saved([path]))),
    "FOCUS bill": ("focus.csv", lambda path: list(focus.saved([path], "openai"))),
    "rules": ("rules.yaml", _rules),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_is_none_is_named_in_the_error(tmp_path: Path, reader: str, kind: str) -> None:
    name, read_it = READERS[reader]
    path = tmp_path / name
    KINDS[kind](path)
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            read_it(path)
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)  # a reader that waits does not stop the tests
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits"
    if (reader == "secret" and kind == "deeply nested") or (kind == "pipe" and "bill" in reader):
        return  # any text is a secret; a bill may come through a pipe, and this one is empty
    assert isinstance(errors[0], TachographError | SecretMissing), errors
    assert str(path) in str(errors[0])


@pytest.fixture
def without_recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TACHOGRAPH_LEDGER_DATA_DIR", raising=False)
    before = runtime.set_recorder(None)
    try:
        yield
    finally:
        made = runtime.set_recorder(before)
        if made is not None and made.ledger is not None:
            made.ledger.close()


def _priced_call(recorder: Recorder) -> int | None:
    call = recorder.start_llm_call("openai", "gpt-5")
    call.usage = tachograph.Usage(1_000_000, 0)
    call.finish("success")
    recorder.settle()
    return None if call.cost is None else call.cost.nano_usd


@pytest.mark.usefixtures("without_recorder")
def test_the_application_goes_on_with_the_settings_that_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tachograph.toml").write_text(
        '[metrics]\nlabel_limit = "many"\nlabels = ["team"]\n[spans]\ncontent_limit = 77\n[nonsense]\na = 1\n'
        f'[pricing]\nfile = "{tmp_path / "absent.toml"}"\n[ledger]\ndata_dir = "/dev/null/ledger"\n'
        '[budgets]\nask = "no.such:function"\nlimits = [{name = "all", usd = 1, action = "ask"}]\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TACHOGRAPH_SPANS_CONTENT", "perhaps")
    assert _priced_call(tachograph.get_recorder()) == 1_250_000_000
    settings = runtime.get_settings()
    assert (settings.metrics.labels, settings.spans.content_limit, settings.spans.content) == (("team",), 77, False)
    said = [record.getMessage() for record in caplog.records if record.name == "tachograph"]
    for word in ("label_limit", "nonsense", "spans.content", "absent.toml", "ledger.data_dir", "budgets.ask"):
        assert [word in line and "Going on without" in line for line in said].count(True) == 1, (word, said)
    assert len(said) == 6


@pytest.mark.usefixtures("without_recorder")
def test_a_working_directory_that_was_removed_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "gone").rmdir()
    recorder = tachograph.get_recorder()
    assert _priced_call(recorder) is not None
    assert recorder.ledger is not None
    assert recorder.ledger.flush()
    assert not caplog.records


@pytest.mark.usefixtures("without_recorder")
def test_a_user_without_a_home_directory_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)  # as for the user that a cluster chooses for a container
    monkeypatch.chdir(tmp_path)
    recorder = tachograph.get_recorder()
    assert _priced_call(recorder) is not None
    assert recorder.ledger is None
    assert "ledger.data_dir" in caplog.text
    assert "Going on without the ledger" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["a" + ".a" * 20_000, '"a"' + ' . "a"' * 20_000, "[" + "a." * 20_000 + "a]"])
def test_a_key_of_thousands_of_parts_is_refused_before_it_takes_memory(tmp_path: Path, key: str) -> None:
    path = tmp_path / "tachograph.toml"
    path.write_text(f"# one\n{key} = 1\n", "utf-8")
    for reader in (lambda: load(environ={"TACHOGRAPH_CONFIG": str(path)}), lambda: Pricer(path)):
        with pytest.raises(TachographError, match=r"a key has more than 32 parts \(at line 2\)"):
            reader()
