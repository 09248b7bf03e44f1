"""Every option that takes a number says what it takes, and takes nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tachograph.cli import COMMANDS, main


def options() -> Iterator[tuple[str, argparse.Action]]:
    """Every option of every command that turns its text into something, by the command's words."""

    def of(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, argparse.Action]]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, inner in action.choices.items():
                    yield from of(inner, f"{words} {name}")
            elif action.type not in (None, str, Path):
                yield words, action

    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        import_module(f"tachograph.cli.{command.replace('-', '_')}").add_arguments(parser)
        yield from of(parser, command)


NUMBERS = {f"{words} {action.option_strings[0]}": action for words, action in options()}


def test_every_command_was_looked_at() -> None:
    assert {"console --step", "console --max-calls", "fire-drill --speed", "ledger flush --timeout"} <= set(NUMBERS)
    assert len(NUMBERS) >= 17


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e300", "9" * 5000, "", "many"])
def test_what_is_no_such_number_is_refused_in_words(name: str, text: str) -> None:
    read = NUMBERS[name].type
    assert callable(read)
    with pytest.raises(argparse.ArgumentTypeError, match="must be "):
        read(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("console --step nan", "argument --step: must be a number from 0.2 to 300, not 'nan'"),
        ("console --max-calls 0", "argument --max-calls: must be a whole number from 1 to 100000000, not '0'"),
        ("fire-drill --speed 0", "argument --speed: must be a number from 0.1 to 100, not '0'"),
        ("fire-drill --patience 1e300", "argument --patience: must be at most 31536000, not '1e300'"),
        ("ledger flush --timeout nan", "argument --timeout: must be 0 or more, not 'nan'"),
        ("ledger quarantine --limit=-1", "argument --limit: must be a whole number from 1 to 1000000, not '-1'"),
        ("reconcile openai --tolerance inf", "argument --tolerance: must be a number from 0 to 100, not 'inf'"),
        ("demo --seed 1.5", "argument --seed: must be a whole number from 0 to 4294967295, not '1.5'"),
    ],
)
def test_the_command_line_names_the_option_and_ends_with_2(
    arguments: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report", "reprice", "ledger verify"])
def test_an_age_older_than_the_calendar_is_refused_in_words(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tachograph.usage.stores import open_store

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    open_store(url).close()
    monkeypatch.setenv("TACHOGRAPH_LEDGER_URL", url)
    for age in ("999999999999999d", "9999999d", "9" * 400 + "w"):
        assert main([*command.split(), "--since", age]) == 2
        assert "lies before the calendar begins (in --since)" in capsys.readouterr().err
