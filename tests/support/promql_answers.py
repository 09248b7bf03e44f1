"""What our evaluator answers to the questions of tests/console/promql/answers, as text: kinds, labels, values, notes.

A file has a question on each line that is not indented, and below it the answer, which `make goldens` writes. Each
question is asked twice: over a range whose steps lie between the samples, so that a Prometheus of any version answers
the same (tests/console/test_against_prometheus.py asks one), and at an instant with samples on the edges of windows.
"""

from __future__ import annotations

import json
from pathlib import Path

from support.promqltest import Memory, load_script
from tachograph.console.promql import Labels, PromQLEngine, PromQLError, Result

FOLDER = Path(__file__).parent.parent / "console" / "promql" / "answers"
FILES = sorted(FOLDER.glob("*.txt"))
RANGE = (307_000, 607_000, 60_000)
INSTANT = 600_000


def data() -> Memory:
    """The samples that are asked about."""
    return load_script(FOLDER / "data.load")


def questions(path: Path) -> list[str]:
    """The questions of a file."""
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith((" ", "#"))]


def answered(path: Path, engine: PromQLEngine) -> str:
    """The file as it has to be: comments and questions as they are, with our answers."""
    lines: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#") or not line:
            lines.append(line)
        elif not line.startswith(" "):
            lines += [line, *(f"  {text}" for text in answers(engine, line))]
    return "\n".join(lines) + "\n"


def answers(engine: PromQLEngine, query: str) -> list[str]:
    """Both answers to a question, line by line; an error that both give stands once."""
    lines = []
    for name, ask in (
        ("range", lambda: engine.range(query, *RANGE)),
        ("instant", lambda: engine.instant(query, INSTANT)),
    ):
        try:
            result = ask()
        except PromQLError as error:
            lines.append([f"{type(error).__name__}: {error}"])
        else:
            lines.append([f"{name}: {_head(result)}", *_rows(result, name == "range")])
            lines[-1] += [*result.warnings, *result.infos]
    return lines[0] if lines[0] == lines[1] else lines[0] + lines[1]


def _head(result: Result) -> str:
    at = f" at {result.time}" if result.time else ""
    text = f" {json.dumps(result.text)}" if result.text else ""
    return f"{result.kind}{at}{text}"


def _rows(result: Result, steps: bool) -> list[str]:
    rows = []
    for labels, times, values in result.series:
        points = dict(zip(times.tolist(), values.tolist(), strict=True))
        if steps:
            start, end, step = RANGE
            row = [number(points.pop(at)) if at in points else "_" for at in range(start, end + 1, step)]
            assert not points
        else:
            row = [number(value) + (f"@{at}" if at != INSTANT else "") for at, value in points.items()]
        rows.append(f"{series(labels)} {' '.join(row)}")
    return rows


def number(value: float) -> str:
    """Twelve digits: the last ones of a logarithm differ between machines."""
    return f"{value:.12g}"


def series(labels: Labels) -> str:
    """A series as PromQL writes it."""
    name = "".join(value for key, value in labels if key == "__name__")
    rest = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in labels if key != "__name__"]
    return f"{name}{{{','.join(rest)}}}"


def write() -> None:
    """Write the answers again; the diff is for reading."""
    engine = PromQLEngine(data())
    for path in FILES:
        path.write_text(answered(path, engine), "utf-8")


if __name__ == "__main__":
    write()
