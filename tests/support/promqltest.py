"""Runs Prometheus' own PromQL test scripts (load, clear, eval) against our evaluator.

The scripting language: https://github.com/prometheus/prometheus/blob/main/promql/promqltest/README.md.
Native histograms are left out: their samples are not loaded, and what selects them is reported as native.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tachograph.console.promql import LabelMatcher, Labels, PromQLEngine, PromQLError, PromQLUnsupported, RawSeries
from tachograph.console.promql.labels import get, labels_of
from tachograph.console.promql.numerics import almost_equal
from tachograph.console.promql.syntax import parse, selectors
from tachograph.console.promql.types import STALE_NAN

EPSILON = 1e-6
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}


class NativeHistogram(Exception):
    """A line that holds a native histogram."""


class NotUnderstood(Exception):
    """A line that this harness cannot read."""


@dataclass
class Case:
    """One eval of a script."""

    script: str
    line: int
    kind: str
    query: str
    times: tuple[int, ...]
    fails: bool = False
    ordered: bool = False
    lines: list[str] = field(default_factory=list)
    expects: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Where the case stands."""
        return f"{self.script}:{self.line}"


@dataclass
class Outcome:
    """What became of a case: passed, failed, unsupported or native; and why."""

    case: Case
    status: str
    reason: str = ""


class Memory:
    """A source of series for the evaluator that keeps what scripts load."""

    def __init__(self) -> None:
        self.samples: dict[Labels, dict[int, float]] = {}
        self.native: set[Labels] = set()
        self.unreadable: dict[Labels, str] = {}

    def select(self, matchers: tuple[LabelMatcher, ...], start: int, end: int) -> list[RawSeries]:
        """Return matching series."""
        found = []
        for labels in sorted(self.samples):
            if all(m.matches(get(labels, m.name)) for m in matchers):
                items = sorted((t, v) for t, v in self.samples[labels].items() if start <= t <= end)
                found.append(
                    RawSeries(
                        labels,
                        np.asarray([t for t, _ in items], dtype=np.int64),
                        np.asarray([v for _, v in items], dtype=np.float64),
                    )
                )
        return found


def duration(text: str) -> int:
    """Read 5m, 1h30m, 90 or 1.5 (seconds) as milliseconds."""
    text = text.strip()
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return sign * round(float(text) * 1000)
    if not re.fullmatch(r"(\d+(ms|[smhdwy]))+", text):
        raise NotUnderstood(f"duration {text!r}")
    return sign * sum(int(n) * _UNITS[u] for n, u in re.findall(r"(\d+)(ms|[smhdwy])", text))


def split_series(line: str) -> tuple[Labels, str]:
    """Split `name{a="b"} values` into labels and the rest."""
    position = 0
    labels: dict[str, str] = {}
    name = re.match(r"[A-Za-z_:][\w:]*", line)
    if name:
        labels["__name__"] = name.group()
        position = name.end()
    if position < len(line) and line[position] == "{" and not line.startswith("{{", position):
        position += 1
        while True:
            gap = re.compile(r"[\s,]*").match(line, position)
            position = gap.end() if gap else position
            if line[position] == "}":
                position += 1
                break
            key, position = _word(line, position)
            follow = re.compile(r"\s*=\s*").match(line, position)
            if follow is None:
                labels["__name__"] = key
                continue
            value, position = _word(line, follow.end())
            labels[key] = value
    return labels_of(labels), line[position:].strip()


def _word(line: str, position: int) -> tuple[str, int]:
    quote = line[position]
    if quote not in "\"'`":
        found = re.compile(r"[\w.:]+").match(line, position)
        if found is None:
            raise NotUnderstood(line)
        return found.group(), found.end()
    end = position + 1
    while line[end] != quote:
        end += 2 if line[end] == "\\" and quote != "`" else 1
    raw = line[position + 1 : end]
    return (raw if quote == "`" else _unescape(raw)), end + 1


def _unescape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found.group(1)
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        return {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", one, text)


def number(text: str) -> float:
    """Read a number as the scripts write it."""
    if text.lower().lstrip("+-").startswith("0x"):
        return float(int(text, 16))
    return float(text.replace("_", ""))


def expand(text: str) -> list[float | None]:
    """Expand `1 2x3 4+1x2 _ stale` into values; None is a gap."""
    if "{{" in text:
        raise NativeHistogram
    values: list[float | None] = []
    for item in text.split():
        if "@" in item:
            raise NotUnderstood("start timestamps")
        gap = re.fullmatch(r"_(?:x(\d+))?", item)
        if gap:
            values += [None] * int(gap.group(1) or 1)
            continue
        if item == "stale":
            values.append(STALE_NAN)
            continue
        series = re.fullmatch(r"(.+?)(?:((?<![eE])[+-](?!Inf|inf).+?))?x(\d+)", item)
        if series:
            start, step, count = number(series.group(1)), number(series.group(2) or "0"), int(series.group(3))
            current = start
            for _ in range(count + 1):
                values.append(current)
                current += step
            continue
        try:
            values.append(number(item))
        except ValueError:
            raise NotUnderstood(item) from None
    return values


def read_script(path: Path) -> list[tuple[int, list[str]]]:
    """Split a script into blocks: line number and lines, comments and blanks taken away."""
    blocks: list[tuple[int, list[str]]] = []
    current: list[str] = []
    for i, line in enumerate(path.read_text().splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#"):
            stripped = ""
        starts = re.match(r"(load|clear|eval)(_\w+)?\b", stripped)
        if starts or not stripped:
            current = []
        if stripped:
            if not current:
                blocks.append((i, current))
            current.append(stripped)
    return blocks


def run_script(path: Path, memory: Memory | None = None) -> list[Outcome]:
    """Run all cases of one script."""
    memory = memory or Memory()
    outcomes = []
    for line, block in read_script(path):
        head = block[0]
        if head == "clear":
            memory.samples.clear()
            memory.native.clear()
            memory.unreadable.clear()
        elif head.startswith("load"):
            _load(memory, block)
        elif head.startswith("eval"):
            case = _case(path.name, line, block)
            outcomes.append(_judge(memory, case))
        else:
            raise NotUnderstood(f"{path.name}:{line}: {head}")
    return outcomes


def load_script(path: Path) -> Memory:
    """Read a script that only loads."""
    memory = Memory()
    for _, block in read_script(path):
        _load(memory, block)
    return memory


def _load(memory: Memory, block: list[str]) -> None:
    command, _, rest = block[0].partition(" ")
    step = duration(rest)
    for line in block[1:]:
        labels, text = split_series(line)
        if text.startswith("@"):
            memory.unreadable[labels] = "start timestamps"
            continue
        try:
            values = expand(text)
        except NativeHistogram:
            memory.native.add(labels)
            continue
        except NotUnderstood as error:
            memory.unreadable[labels] = str(error)
            continue
        points = memory.samples.setdefault(labels, {})
        for i, value in enumerate(values):
            if value is not None:
                points[i * step] = value
        if command == "load_with_nhcb":
            base = re.sub(r"_(bucket|count|sum)$", "", get(labels, "__name__"))
            kept = {k: v for k, v in labels if k not in ("le", "__name__")}
            memory.native.add(labels_of({**kept, "__name__": base}))


def _case(script: str, line: int, block: list[str]) -> Case:
    found = re.match(r"eval(?:_(fail|warn|info|ordered))?\s+(instant|range)\s+(.*)$", block[0])
    if found is None:
        raise NotUnderstood(block[0])
    flavour, kind, rest = found.groups()
    if kind == "instant":
        at = re.match(r"(?:at\s+(\S+)\s+)?(.*)$", rest)
        assert at is not None
        case = Case(script, line, kind, at.group(2), (duration(at.group(1) or "0"),))
    else:
        span = re.match(r"from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.*)$", rest)
        if span is None:
            raise NotUnderstood(block[0])
        case = Case(script, line, kind, span.group(4), tuple(duration(span.group(i)) for i in (1, 2, 3)))
    case.fails = flavour == "fail"
    case.ordered = flavour == "ordered"
    if flavour in ("warn", "info"):
        case.expects.append(f"expect {flavour}")
    for text in block[1:]:
        if text.startswith(("expect ", "expected_fail")):
            case.expects.append(text)
            case.fails |= text.startswith(("expect fail", "expected_fail"))
            case.ordered |= text == "expect ordered"
        else:
            case.lines.append(text)
    return case


def _judge(memory: Memory, case: Case) -> Outcome:
    if any("{{" in text for text in case.lines) or any("histogram" in e and "native" in e for e in case.expects):
        return Outcome(case, "native")
    engine = PromQLEngine(memory)
    try:
        tree = parse(case.query)
        for selector in selectors(tree):
            if any(all(m.matches(get(s, m.name)) for m in selector.matchers) for s in memory.native):
                return Outcome(case, "native")
            for labels, reason in memory.unreadable.items():
                if all(m.matches(get(labels, m.name)) for m in selector.matchers):
                    return Outcome(case, "unsupported", f"harness: {reason}")
    except PromQLUnsupported as error:
        return Outcome(case, "unsupported", str(error))
    except PromQLError:
        pass  # the case may want the error: the check below asks again
    try:
        problem = _check(engine, case)
    except PromQLUnsupported as error:
        return Outcome(case, "unsupported", str(error))
    except NotUnderstood as error:
        return Outcome(case, "unsupported", f"harness: {error}")
    return Outcome(case, "failed", problem) if problem else Outcome(case, "passed")


def _check(engine: PromQLEngine, case: Case) -> str:
    try:
        if case.kind == "instant":
            result = engine.instant(case.query, case.times[0])
        else:
            result = engine.range(case.query, *case.times)
    except PromQLUnsupported:
        raise
    except PromQLError as error:
        if not case.fails:
            return f"failed: {error}"
        return _check_message(case, str(error))
    if case.fails:
        return f"should have failed, gave {result.series[:2]}"
    problem = _check_notes(case, result.warnings, result.infos)
    if problem:
        return problem
    text = next((e for e in case.expects if e.startswith("expect string")), None)
    if text is not None:
        wanted, _ = _word(text.removeprefix("expect string").strip(), 0)
        return "" if result.kind == "string" and result.text == wanted else f"string {result.text!r}"
    if case.kind == "range" or any(e.startswith("expect range vector") for e in case.expects):
        return _check_matrix(case, result.series)
    problem = _check_instant(case, result.kind, result.series)
    if problem or result.kind not in ("vector", "scalar") or re.search(r"\b(start|end|step|range)\(\)", case.query):
        return problem
    return _check_middle(engine, case)


def _check_message(case: Case, message: str) -> str:
    for expectation in case.expects:
        found = re.match(r"(?:expect fail|expected_fail)(?:\s+|_)(msg|regex|message|regexp):?\s*(.*)$", expectation)
        if not found:
            continue
        kind, wanted = found.groups()
        wanted = wanted.strip()
        if len(wanted) > 1 and wanted[0] == wanted[-1] == '"':
            wanted = _unescape(wanted[1:-1])
        if kind in ("msg", "message") and wanted != message:
            return f"message {message!r}, expected {wanted!r}"
        if kind in ("regex", "regexp") and not re.search(wanted, message):
            return f"message {message!r}, expected like {wanted!r}"
    return ""


def _check_notes(case: Case, warnings: list[str], infos: list[str]) -> str:
    for expectation in case.expects:
        found = re.match(r"expect (no_)?(warn|info)(?:\s+(msg|regex):\s*(.*))?$", expectation)
        if not found:
            continue
        absent, what, kind, wanted = found.groups()
        notes = warnings if what == "warn" else infos
        if absent:
            if notes:
                return f"unexpected {what}: {notes}"
            continue
        if not notes:
            return f"no {what} given"
        # The tree of promql-parser has no positions, so the (line:column) at the end is not compared.
        if kind == "msg" and re.sub(r" \(\d+:\d+\)$", "", wanted) not in notes:
            return f"{what} {notes}, expected {wanted}"
        if kind == "regex" and not any(re.search(re.sub(r"\s*\\\(\[?\d.*$", "", wanted), note) for note in notes):
            return f"{what} {notes}, expected like {wanted}"
    return ""


def _expected(case: Case) -> list[tuple[Labels, list[float | None]]]:
    return [(labels, expand(text)) for labels, text in (split_series(line) for line in case.lines)]


def _equal(a: float, b: float) -> bool:
    with np.errstate(all="ignore"):
        return bool(almost_equal(np.asarray([a]), np.asarray([b]), EPSILON)[0])


def _check_instant(case: Case, kind: str, series: list) -> str:
    if len(case.lines) == 1 and re.fullmatch(r"[-+.\w]+", case.lines[0]) and kind == "scalar":
        wanted = number(case.lines[0])
        return "" if _equal(series[0][2][0], wanted) else f"scalar {series[0][2][0]}, expected {wanted}"
    expected = _expected(case)
    if len(expected) == 1 and expected[0][0] == () and kind == "scalar":
        return "" if _equal(series[0][2][0], expected[0][1][0] or 0.0) else f"scalar {series[0][2][0]}"
    if case.ordered and [labels for labels, _ in expected] != [labels for labels, _, _ in series]:
        return f"order {[labels for labels, _, _ in series]}"
    got = {labels: values[0] for labels, _, values in series}
    return _compare(got, {labels: values[0] for labels, values in expected})


def _compare(got: dict, wanted: dict) -> str:
    for labels in wanted.keys() | got.keys():
        if labels not in got:
            return f"missing {labels}, got {list(got)[:3]}"
        if labels not in wanted:
            return f"unexpected {labels} = {got[labels]}"
        if not _equal(got[labels], wanted[labels]):
            return f"{labels} is {got[labels]}, expected {wanted[labels]}"
    return ""


def _check_middle(engine: PromQLEngine, case: Case) -> str:
    at = case.times[0]
    result = engine.range(case.query, at - 60_000, at + 60_000, 60_000)
    got = {}
    for labels, times, values in result.series:
        index = np.flatnonzero(times == at)
        if len(index):
            got[labels] = values[index[0]]
    if len(case.lines) == 1 and re.fullmatch(r"[-+.\w]+", case.lines[0]):
        wanted = {(): number(case.lines[0])}
    else:
        wanted = {labels: values[0] for labels, values in _expected(case)}
    problem = _compare(got, wanted)
    return f"as a range query: {problem}" if problem else ""


def _check_matrix(case: Case, series: list) -> str:
    if case.kind == "range":
        start, _, step = case.times
    else:
        text = next(e for e in case.expects if e.startswith("expect range vector"))
        span = re.search(r"from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)", text)
        assert span is not None
        start, step = duration(span.group(1)), duration(span.group(3))
    expected = {
        labels: {start + i * step: v for i, v in enumerate(values) if v is not None}
        for labels, values in _expected(case)
    }
    expected = {labels: points for labels, points in expected.items() if points}
    got = {labels: dict(zip(times.tolist(), values.tolist(), strict=True)) for labels, times, values in series}
    for labels in expected.keys() | got.keys():
        if labels not in got or labels not in expected:
            return f"{'missing' if labels in expected else 'unexpected'} {labels}"
        if got[labels].keys() != expected[labels].keys():
            return f"{labels} at {sorted(got[labels])}, expected {sorted(expected[labels])}"
        for at, value in expected[labels].items():
            if not _equal(got[labels][at], value):
                return f"{labels} at {at} is {got[labels][at]}, expected {value}"
    return ""
