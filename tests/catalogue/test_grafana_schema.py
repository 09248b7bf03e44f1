"""Grafana's own TypeScript types accept the boards, down to each panel's options.

The types are @grafana/schema from npm, fetched once into the cache directory of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tachograph import catalogue
from tachograph.catalogue.export.grafana import classic

PACKAGES = ("@grafana/schema@13.2.3", "typescript@5.9.3")

HEAD = """
import type { AnnotationQuery, Dashboard, FieldConfigSource } from "@grafana/schema";
import type { Options as timeseries, FieldConfig as timeseriesField } from "PANEL/timeseries/panelcfg/x/types.gen";
import type { Options as stat } from "PANEL/stat/panelcfg/x/types.gen";
import type { Options as gauge } from "PANEL/gauge/panelcfg/x/types.gen";
import type { Options as heatmap } from "PANEL/heatmap/panelcfg/x/types.gen";
import type { Options as bargauge } from "PANEL/bargauge/panelcfg/x/types.gen";
import type { Options as state_timeline } from "PANEL/statetimeline/panelcfg/x/types.gen";
import type { Options as table } from "PANEL/table/panelcfg/x/types.gen";

// JSON has no enums: a string enum is the set of its words. Parts of options may be left to Grafana's defaults, but
// what is there must be known and right.
type Json<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Json<U>[] : T extends object ? { [K in keyof T]?: Json<T[K]> } : T;

// What the Prometheus data source reads in an annotation is in no type of Grafana's.
type Asked = { expr: string; titleFormat: string; textFormat: string; step: string; useValueForTime: boolean };
type Board = Json<Omit<Dashboard, "annotations">> & { annotations: { list: (Json<AnnotationQuery> & Asked)[] } };
"""


@pytest.fixture(scope="module")
def workshop() -> Path:
    """A directory with the packages installed."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not on PATH (apt install npm): the boards are not checked against @grafana/schema")
    cache = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "tachograph-tests" / "grafana-schema"
    if not (cache / "node_modules/@grafana/schema/package.json").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "package.json").write_text('{"private": true}')
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(cache), *PACKAGES],
            cwd=cache,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        if done.returncode != 0:
            pytest.skip(f"npm cannot fetch {PACKAGES}: {done.stderr.strip()[-200:]}")
    return cache


def compile_types(workshop: Path, name: str, body: str) -> str:
    """What tsc complains of."""
    folder = workshop / name
    folder.mkdir(exist_ok=True)
    raw = "@grafana/schema/dist/types/raw/composable"
    (folder / "check.ts").write_text(HEAD.replace("PANEL", "../node_modules/" + raw) + body)
    done = subprocess.run(
        [
            str(workshop / "node_modules/.bin/tsc"),
            *("--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"),
            *("--target", "es2022", str(folder / "check.ts")),
        ],
        cwd=workshop,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode in (0, 2), done.stderr
    return done.stdout


def classic_checks() -> str:
    lines = []
    for number, dashboard in enumerate(catalogue.dashboards()):
        board = classic(dashboard)
        panels = [p for outer in board["panels"] for p in ([outer] if outer["type"] != "row" else outer["panels"])]
        for index, panel in enumerate(panels):
            kind = panel["type"].replace("-", "_")
            lines.append(f"const o{number}_{index}: Json<{kind}> = {json.dumps(panel['options'])};")
            custom = panel["fieldConfig"]["defaults"].get("custom")
            if kind == "timeseries":
                lines.append(f"const f{number}_{index}: Json<timeseriesField> = {json.dumps(custom)};")
            lines.append(f"const c{number}_{index}: Json<FieldConfigSource> = {json.dumps(panel['fieldConfig'])};")
        lines.append(f"const d{number}: Board = {json.dumps(board)};")
    return "\n".join(lines)


def test_the_classic_form_is_a_dashboard_to_grafana(workshop: Path) -> None:
    assert compile_types(workshop, "classic", classic_checks()) == ""


def test_a_wrong_option_is_seen(workshop: Path) -> None:
    wrong = classic_checks().replace('"graphMode": "area"', '"graphMode": "mountain"').replace("stacking", "staking")
    said = compile_types(workshop, "wrong", wrong)
    assert "mountain" in said
    assert "staking" in said
