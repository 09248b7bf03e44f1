"""The documents say what is so: generated pages are fresh, links lead somewhere, and what is shown runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import dropwhile
from pathlib import Path

import pytest
from tools import reference, site

from support.ledgers import one_call
from support.parts import program
from support.promql_names import wrong_names
from tachograph import cli, labels, run
from tachograph.mcp.config import load_config
from tachograph.settings.load import load
from tachograph.testing import recording
from tachograph.usage.stores.open import open_store
from tachograph_demo.simulators import Simulators

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")],
    key=lambda page: str(page.relative_to(ROOT)),
)
RUN_ELSEWHERE = ("docs/examples.md", "docs/providers.md", "docs/mcp.md")
"""The first two have tests of their own files; the third needs servers and has tests/mcp."""
MAP = ("docs/architecture.md", "docs/style.md", "docs/releasing.md", "docs/contract.md", "CONTRIBUTING.md")
NOT_THERE_YET = ("src/tachograph/vendors/dialects/example.py", "changes/example-host.added.md", "tachograph.toml")


@pytest.fixture(scope="module")
def simulators() -> Iterator[Simulators]:
    with Simulators() as running:
        yield running


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [
        re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)
        for indent, block in re.findall(
            rf"^( *)```{language}\n(.*?)^ *```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
        )
    ]


def test_the_generated_reference_is_fresh() -> None:
    stale = [
        name(page)
        for page, text in reference.pages(ROOT / "docs").items()
        if not page.exists() or page.read_text("utf-8") != text
    ]
    assert stale == [], "run `make goldens` and review the difference"


def test_every_link_of_the_site_leads_to_a_page_and_heading(tmp_path: Path) -> None:
    site.collect(tmp_path / "pages")
    assert site.broken_links(tmp_path / "pages") == []


@pytest.mark.parametrize("page", MAP)
def test_the_map_names_files_that_exist(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    cited = {word for word in re.findall(r"`([\w./-]+(?:\.(?:py|md|toml|yml)|/))`", text) if "<" not in word}
    places = (ROOT, ROOT / "src" / "tachograph", ROOT / "docs")
    missing = [word for word in cited if not any((place / word).exists() for place in places)]
    assert sorted(set(missing) - set(NOT_THERE_YET)) == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python") and name(page) not in RUN_ELSEWHERE], ids=name
)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, simulators: Simulators) -> None:
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "a-key", "OPENAI_BASE_URL": simulators.openai.url,
        "ANTHROPIC_API_KEY": "a-key", "ANTHROPIC_BASE_URL": simulators.anthropic.url,
        "GEMINI_API_KEY": "a-key", "GOOGLE_GEMINI_BASE_URL": simulators.gemini.url,
        "TACHOGRAPH_LEDGER_DATA_DIR": str(tmp_path),
        "TACHOGRAPH_METRICS_PORT": "0",
    }  # fmt: skip
    open_store(f"sqlite:///{tmp_path / 'ledger.db'}").close()
    code = "\n".join(blocks(page, "python")).replace('metrics={"port": 9464}', 'metrics={"port": 0}')
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=name)
def test_the_settings_of_a_page_load(page: Path) -> None:
    for block in blocks(page, "toml"):
        table = tomllib.loads(block)
        if "price" not in table:  # else it is a price file
            load(table.get("tool", {}).get("tachograph", table), environ={}, read_file=False)


def commands(page: Path) -> Iterator[list[str]]:
    """Command lines of a page, as words: of its blocks, and those in the middle of a sentence."""
    text = page.read_text("utf-8")
    for line in "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        yield list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words))  # the environment of one command
    for line in re.findall(r"(?<!`)`((?:tachograph|make) [^`\n]+)`(?!`)", text):
        is_whole = " --" in line and not re.search(r"<|\.\.\.|\b[A-Z]{3,}\b(?!=)|\[|--[\w-]+$", line)
        if is_whole or line.startswith("make "):  # else it is only named
            yield shlex.split(line)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_the_commands_of_a_page_are_understood(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for words in commands(page):
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= targets, words
        if words[:1] == ["tachograph"] and words[1:2] and not words[1].startswith("-"):
            assert words[1] in cli.COMMANDS, words
            parser = argparse.ArgumentParser(exit_on_error=False)
            import_module(f"tachograph.cli.{words[1].replace('-', '_')}").add_arguments(parser)
            try:
                parser.parse_args([word for word in words[2:] if word not in ("|", ">")])
            except (SystemExit, argparse.ArgumentError) as error:
                pytest.fail(f"{words}: {error}")


ENDING = ("report", "run-cost", "top")
"""Commands that need nothing but a ledger and end; the servers, the bills and the demo have tests of their own."""


def ending(page: Path) -> list[list[str]]:
    """Those of a page, without what only a shell understands."""
    lines = [words for words in commands(page) if words[:1] == ["tachograph"] and words[1:2] and words[1] in ENDING]
    return [words[1:] for words in lines if not {"|", ">"} & set(words)]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the ledger of one call by the agent, the user and the run that the pages name."""
    directory = tmp_path_factory.mktemp("ledger")
    with recording(ledger={"enabled": True, "data_dir": str(directory)}) as seen:
        with run("refund-agent", execution_id="job-7", user="alice", version="1.4"), labels(team="search"):
            one_call(seen.recorder)
        assert seen.recorder.ledger is not None
        assert seen.recorder.ledger.flush()
    return directory


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md" and ending(page)], ids=name)
def test_the_reports_of_a_page_are_printed(
    page: Path, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(ledger))
    for words in ending(page):
        assert cli.main(words) == 0, (words, capsys.readouterr().err)
        printed = capsys.readouterr().out
        assert len(printed) > 50 or "--output" in words, words
    assert all(file.stat().st_size for file in tmp_path.iterdir())


def test_what_a_page_installs_is_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = [
        extra
        for page in PAGES
        for extra in re.findall(r"pip install '(?:\.|tachograph)\[([^\]]+)\]", page.read_text("utf-8"))
    ]
    assert named
    assert {word for extra in named for word in extra.split(",")} <= set(extras)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=name)
def test_prometheus_accepts_the_configuration_of_a_page(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        (tmp_path / "prometheus.yml").write_text(block, "utf-8")
        done = subprocess.run(
            [program("promtool"), "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "promql")], ids=name)
def test_the_queries_of_a_page_name_what_is_declared(page: Path) -> None:
    for block in blocks(page, "promql"):
        assert wrong_names(block) == [], block


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "json")], ids=name)
def test_the_servers_of_a_page_are_read(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_TOKEN", "a-token")
    for block in blocks(page, "json"):
        assert load_config(json.loads(block))


def test_every_kind_of_block_has_a_test() -> None:
    kinds = {kind for page in PAGES for kind in re.findall(r"^ *```(\w+)", page.read_text("utf-8"), re.MULTILINE)}
    assert kinds == {"python", "sh", "toml", "yaml", "json", "promql"}
