"""The command line in odd surroundings: a closed pipe, a full disk, no streams, places that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.cli import main


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh, in which `$T` is the command."""
    command = f"{sys.executable} -m tachograph"
    return subprocess.run(
        ["sh", "-c", line], env={**os.environ, "T": command, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("$T settings > /dev/full", 2, "No space left on device (in the standard output)"),
        ("$T settings >&-", 0, ""),
        ("$T report --store clickhouse://127.0.0.1:1/x", 2, "Check that the server runs and is reachable"),
        ("$T run-cost x <&- >&- 2>&-", 2, ""),
    ],
)
def test_an_output_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, line: str, code: int, words: str) -> None:
    ended = shell(line, TACHOGRAPH_LEDGER_DATA_DIR=str(tmp_path))
    assert ended.returncode == code
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == bool(words)


def test_a_pipe_that_is_closed_early_ends_the_command_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "tachograph", "settings"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("action", ["ledger writer", "ledger flush", "collect --port 0"])
def test_a_directory_that_cannot_be_made_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "file" / "ledger"))
    assert main(action.split()) == 2
    said = capsys.readouterr().err
    assert "the ledger's directory cannot be made: Not a directory" in said
    assert "Set ledger.data_dir to a directory that this process may write" in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("text", "this is not the URL of a ledger (in text). Set ledger.url, or the option, to sqlite:///"),
        ("mysql://user:secret@host/x", "this is not the URL of a ledger (in mysql://user:***@host/x)"),
        ("sqlite://", "the ledger's URL names no file (in sqlite://)"),
        ("sqlite:///{}", "this is not a file (in {})"),
        ("sqlite:///{}/other.db", "The file is not a ledger, or its tables were deleted."),
    ],
)
@pytest.mark.parametrize("command", ["report", "waste"])
def test_a_ledger_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, url: str, words: str
) -> None:
    (tmp_path / "other.db").touch()
    assert main([command, "--store", url.format(tmp_path)]) == 2
    assert words.format(tmp_path) in capsys.readouterr().err


def test_a_console_and_a_collector_refuse_what_is_no_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["console", "--port", "0", "--memory", "--ledger", "text"]) == 2
    assert main(["collect", "--port", "0", "--ledger", "text"]) == 2
    assert capsys.readouterr().err.count("this is not the URL of a ledger (in text)") == 2


def test_a_report_that_cannot_be_written_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path))
    assert main(["ledger", "migrate"]) == 0
    missing = tmp_path / "missing" / "report.csv"
    assert main(["report", "--format", "csv", "--output", str(missing)]) == 2
    assert f"No such file or directory (in {missing}). Check that it exists" in capsys.readouterr().err


def test_a_script_without_its_interpreter_is_met_with_the_right_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "app.py"]) == 2
    assert "Try: tachograph run -- python app.py" in capsys.readouterr().err
