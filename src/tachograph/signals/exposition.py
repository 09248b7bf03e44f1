"""/metrics as text: Prometheus 0.0.4 and OpenMetrics 1.0.0, written by our own hand for speed.

One template per histogram family fills all lines of a label set in one step, with the label string rendered when the
label set was made: 0.2 us a line, where prometheus_client takes 9.5 (docs/decisions/0030).

Numbers of things are written as whole numbers, bounds as Python and prometheus_client write them (`le="1.0"`,
`le="1e-05"`), in both formats alike, so that a query for one `le` finds it whatever was negotiated.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/ (checked 2026-11-23).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final, Literal, NamedTuple

from tachograph.signals.cells import Exemplar, Sample
from tachograph.signals.family import Family

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: Final[dict[Format, str]] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}


class ScrapeResponse(NamedTuple):
    """A response to a scrape."""

    headers: list[tuple[str, str]]
    body: bytes


def respond(
    collected: Iterable[tuple[Family, list[Sample]]], accept: str | None, accept_encoding: str | None
) -> ScrapeResponse:
    """Answer a scrape in the format and encoding that its headers ask for."""
    format_ = negotiate(accept)
    body = write(collected, format_).encode()
    headers = [("Content-Type", CONTENT_TYPES[format_]), ("Vary", "Accept, Accept-Encoding")]
    if accepts_gzip(accept_encoding):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: with gzip's header; level 1 costs a third of level 6
        body = packer.compress(body) + packer.flush()
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Length", str(len(body))))
    return ScrapeResponse(headers, body)


def write(collected: Iterable[tuple[Family, list[Sample]]], format_: Format = "text") -> str:
    """Every family as text; those without samples with their HELP and TYPE alone."""
    parts: list[str] = []
    openmetrics = format_ == "openmetrics"
    for family, samples in collected:
        parts.append(_head(family, openmetrics))
        if family.kind == "histogram":
            _histograms(parts, family, samples, openmetrics)
            continue
        name = family.name
        for sample in samples:
            text = sample.text
            number = _number(sample.values[0])
            parts.append(f"{name}{{{text}}} {number}\n" if text else f"{name} {number}\n")
    if openmetrics:
        parts.append("# EOF\n")
    return "".join(parts)


@lru_cache(maxsize=512)
def _head(family: Family, openmetrics: bool) -> str:
    name = family.name
    if openmetrics and family.kind == "counter":
        name = name.removesuffix("_total")
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    head = f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"
    if openmetrics and family.unit and name.endswith(f"_{family.unit}"):
        head += f"# UNIT {name} {family.unit}\n"
    return head


def _histograms(parts: list[str], family: Family, samples: Sequence[Sample], openmetrics: bool) -> None:
    labelled, bare = _templates(family)
    width = 2 * (len(family.buckets) + 1) + 4
    for sample in samples:
        numbers = sample.values
        total = numbers[0]
        counts = list(accumulate(numbers[1:]))
        text = sample.text
        if openmetrics and sample.exemplars:
            parts.append(_with_exemplars(family, sample, counts))
        elif text:
            row: list[object] = [text] * width
            row[1:-4:2] = counts
            row[-3] = _number(total)
            row[-1] = counts[-1]
            parts.append(labelled % tuple(row))
        else:
            parts.append(bare % (*counts, _number(total), counts[-1]))


@lru_cache(maxsize=256)
def _templates(family: Family) -> tuple[str, str]:
    """The lines of one label set, with labels and without."""
    name = family.name
    bounds = [repr(float(bound)) for bound in family.buckets] + ["+Inf"]
    labelled = "".join(f'{name}_bucket{{%s,le="{bound}"}} %d\n' for bound in bounds)
    bare = "".join(f'{name}_bucket{{le="{bound}"}} %d\n' for bound in bounds)
    return (
        f"{labelled}{name}_sum{{%s}} %s\n{name}_count{{%s}} %d\n",
        f"{bare}{name}_sum %s\n{name}_count %d\n",
    )


def _with_exemplars(family: Family, sample: Sample, counts: Sequence[float]) -> str:
    labelled, bare = _templates(family)
    text, total = sample.text, _number(sample.values[0])
    if text:
        row: list[object] = [part for count in counts for part in (text, count)]
        lines = (labelled % (*row, text, total, text, counts[-1])).split("\n")
    else:
        lines = (bare % (*counts, total, counts[-1])).split("\n")
    for index, exemplar in (sample.exemplars or {}).copy().items():
        lines[index] += _exemplar(exemplar)
    return "\n".join(lines)


def _exemplar(exemplar: Exemplar) -> str:
    trace_id, value, timestamp, _ = exemplar
    return f' # {{trace_id="{trace_id:032x}"}} {value!r} {timestamp:.3f}'


def _number(value: float) -> str:
    """A value as both formats read it: whole numbers without a point, +Inf, -Inf and NaN by name."""
    if type(value) is int:
        return str(value)
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))


def negotiate(accept: str | None) -> Format:
    """The format that an Accept header prefers; text when it does not say, or asks for neither."""
    best: tuple[float, Format] = (0.0, "text")
    for part in (accept or "").split(","):
        kind, *parameters = [piece.strip().lower() for piece in part.split(";")]
        weight = _weight(parameters)
        version = next((p[8:].strip('"') for p in parameters if p.startswith("version=")), "")
        offered: Format | None = None
        if kind == "application/openmetrics-text" and version in ("", "1.0.0", "0.0.1"):
            offered = "openmetrics"
        elif kind in ("text/plain", "text/*", "*/*"):
            offered = "text"
        if offered is not None and weight > best[0]:
            best = (weight, offered)
    return best[1]


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether an Accept-Encoding header allows gzip by name."""
    for part in (accept_encoding or "").split(","):
        name, *parameters = [piece.strip().lower() for piece in part.split(";")]
        if name == "gzip":
            return _weight(parameters) > 0
    return False


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
