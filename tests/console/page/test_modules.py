"""The page's modules: typed against the catalogue, unit-tested, formatted, with the catalogue's colours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.parts import ROOT, npm_package, program
from tachograph.catalogue import boards
from tachograph.catalogue.boards.common import ERROR_COLORS, OUTCOME_COLORS
from tachograph.console import start
from tachograph.console.api import schema

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STATIC = ROOT / "src/tachograph/console/static"
OWN = Path(__file__).parent / "js"


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_pages_types_are_made_from_the_catalogue() -> None:
    assert (STATIC / "js/catalogue.d.ts").read_text("utf-8") == schema.types(), "run `make goldens`"
    panel = schema.schema()["$defs"]["BoardPanel"]["properties"]
    assert panel["reduce"]["enum"] == ["sum", "worst"]
    assert {"colors", "minimum", "thresholds", "matrix"} <= panel.keys()
    assert "keepFiringFor" in schema.schema()["$defs"]["AlertRule"]["properties"]


def test_the_modules_read_only_what_the_catalogue_has() -> None:
    compiler = npm_package("typescript") / "bin/tsc"
    run(program("node"), str(compiler), "-p", str(OWN / "tsconfig.json"))


def test_a_field_that_the_catalogue_lacks_fails_the_type_check(tmp_path: Path) -> None:
    compiler = npm_package("typescript") / "bin/tsc"
    wrong = tmp_path / "wrong.js"
    types = (STATIC / "js/catalogue.js").as_posix()
    wrong.write_text(
        f'/** @param {{import("{types}").BoardPanel}} panel */\nexport const x = (panel) => panel.nosuch;\n'
    )
    command = [program("node"), str(compiler), "--noEmit", "--allowJs", "--checkJs", "--skipLibCheck", str(wrong)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert "Property 'nosuch' does not exist on type 'BoardPanel'" in done.stdout


def test_the_page_asks_for_every_module_at_once() -> None:
    asked = re.findall(r'rel="modulepreload" href="static/(.+?)"', (STATIC / "index.html").read_text("utf-8"))
    modules = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js")}
    assert set(asked) == modules - {"js/main.js", "js/theme.js"}  # the page names those two itself


def test_the_modules_pass_their_own_tests() -> None:
    run(program("node"), "--test", *map(str, sorted(OWN.glob("*.test.js"))))


def test_the_modules_and_styles_are_formatted() -> None:
    formatter = npm_package("prettier") / "bin/prettier.cjs"
    files = [*STATIC.rglob("*.js"), *STATIC.rglob("*.css"), *OWN.glob("*.js")]
    run(program("node"), str(formatter), "--check", *map(str, files))


def test_a_word_has_the_same_colour_as_in_the_catalogue() -> None:
    script = (
        f"import('{(STATIC / 'js/colours.js').as_uri()}').then(m => console.log(JSON.stringify([m.MEANING, m.NAMED])))"
    )
    printed = subprocess.run([program("node"), "-e", script], stdout=subprocess.PIPE, text=True, check=True).stdout
    meaning, named = json.loads(printed)
    for word, colour in (*ERROR_COLORS, *OUTCOME_COLORS):
        assert meaning[word] == named[colour], word


def test_the_font_is_shipped_with_its_licence() -> None:
    assert (STATIC / "fonts/inter-latin.woff2").read_bytes()[:4] == b"wOF2"
    assert "SIL OPEN FONT LICENSE" in (STATIC / "fonts/OFL.txt").read_text("utf-8").upper()


THIRD = '''
"""A board of a test."""

from tachograph.catalogue.panels import Dashboard, Measure, Panel, PanelQuery, PanelRow


def dashboard(alerts):
    panel = Panel(
        title="Calls by agent", description="How many.", kind="timeseries", unit="short", minimum=0.0,
        queries=(PanelQuery(expression="sum by (agent) (llm_run_seconds_count)", legend="{{agent}}",
                       measure=Measure(of="calls", stat="sum", by=("agent",))),),
    )
    return Dashboard(uid="agents", title="Agents", description="Runs.", tags=(), variables=(),
                     rows=(PanelRow("All", (panel,)),), annotations=())
'''


def test_a_third_board_appears_when_its_file_is_there(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agents_board.py").write_text(THIRD)
    monkeypatch.setattr(boards, "__path__", [*boards.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    try:
        with start(port=0, step_seconds=300, auth=False) as served:
            page = browser.new_page()
            page.goto(f"{served.url}#/agents")
            assert page.locator('.tab[aria-current="page"]').inner_text() == "Agents"
            assert page.locator(".panel h3").all_inner_texts() == ["Calls by agent"]
            page.close()
    finally:
        sys.modules.pop("tachograph.catalogue.boards.agents_board", None)
