"""Prometheus' JSON shapes, written by hand: a range query's answer can hold a million points."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from starlette.responses import Response

from tachograph.console.promql import Labels, PromQLError, Result
from tachograph.console.promql.numerics import sample_text
from tachograph.console.promql.types import Floats, Ints

JSON = "application/json"


def time_text(milliseconds: int) -> str:
    """Write a time as seconds, with milliseconds only when there are some."""
    seconds, rest = divmod(abs(int(milliseconds)), 1000)
    sign = "-" if milliseconds < 0 else ""
    return f"{sign}{seconds}.{rest:03d}" if rest else f"{sign}{seconds}"


def dumps(value: object) -> str:
    """Write JSON without spaces, text as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def metric_text(labels: Labels) -> str:
    """Write a label set as an object."""
    return dumps(dict(labels))


def result_text(result: Result) -> str:
    """Write `{"resultType": ..., "result": ...}`."""
    if result.kind == "string":
        body = f"[{time_text(result.time)},{dumps(result.text)}]"
    elif result.kind == "scalar":
        body = f'[{time_text(result.time)},"{sample_text(float(result.series[0][2][0]))}"]'
    elif result.kind == "vector":
        body = (
            "["
            + ",".join(
                f'{{"metric":{metric_text(labels)},"value":[{time_text(result.time)},"{sample_text(float(values[0]))}"]}}'
                for labels, _, values in result.series
            )
            + "]"
        )
    else:
        stamps = _Stamps()
        body = (
            "["
            + ",".join(
                f'{{"metric":{metric_text(labels)},"values":[{stamps.points(times, values)}]}}'
                for labels, times, values in result.series
            )
            + "]"
        )
    return f'{{"resultType":"{result.kind}","result":{body}}}'


class _Stamps:
    """Writes points; series of one answer mostly share their times, so those are written once."""

    def __init__(self) -> None:
        self._times: Ints | None = None
        self._texts: list[str] = []

    def points(self, times: Ints, values: Floats) -> str:
        if self._times is None or (times is not self._times and not np.array_equal(times, self._times)):
            self._times = times
            self._texts = [f'[{time_text(t)},"' for t in times.tolist()]
        return ",".join(f'{t}{sample_text(v)}"]' for t, v in zip(self._texts, values.tolist(), strict=True))


def success(data: str, warnings: Iterable[str] = (), infos: Iterable[str] = ()) -> Response:
    """Wrap data that is JSON text already."""
    notes = ""
    listed = list(warnings)
    if listed:
        notes += f',"warnings":{dumps(listed)}'
    listed = list(infos)
    if listed:
        notes += f',"infos":{dumps(listed)}'
    return Response(f'{{"status":"success","data":{data}{notes}}}', media_type=JSON)


def failure(error: PromQLError) -> Response:
    body = dumps({"status": "error", "errorType": error.error_type, "error": str(error)})
    return Response(body, status_code=error.status, media_type=JSON)
