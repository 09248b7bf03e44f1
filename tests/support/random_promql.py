"""Random series with resets, gaps, staleness and odd values, and random queries over them; all from one seed.

What Prometheus 2 and 3 answer differently is left out. No sample lies on the edge of a window: samples end on 7 ms,
steps on 3 ms, those of subqueries on 0 ms. A counter that begins at 0 goes on at 1000: version 2 moves the start of a
window to where the counter was 0 before it looks whether that is too far away, version 3 afterwards.
"""

from __future__ import annotations

import math
import random

from tachograph.console.promql.types import STALE_NAN

Labels = tuple[tuple[str, str], ...]
Series = tuple[Labels, list[tuple[int, float]]]

START = 1_700_000_000_257
BETWEEN = START + 246
"""A time at which no sample can be, nor at whole seconds from it."""
LENGTH = 45 * 60_000
STEP = 15_000
BOUNDS = ("0.1", "0.5", "1", "2.5", "10", "+Inf")


def labelled(name: str, /, **labels: str) -> Labels:
    return tuple(sorted({"__name__": name, **labels}.items()))


def times(rng: random.Random, kind: str) -> list[int]:
    """Sample times of a series: regular, jittered, sparse, with gaps, or only part of the time."""
    begin, end, step = START, START + LENGTH, STEP
    if kind == "late":
        begin += rng.randrange(LENGTH // 2)
    elif kind == "early":
        end -= rng.randrange(LENGTH // 2)
    elif kind == "sparse":
        step = 90_000
    stamps = list(range(begin, end, step))
    if kind == "jitter":
        stamps = [t + 10 * rng.randrange(-300, 300) for t in stamps]
    if kind == "gaps":
        holes = [rng.randrange(LENGTH) + START for _ in range(4)]
        stamps = [t for t in stamps if not any(h <= t < h + 200_000 for h in holes)]
    return stamps


def counter(rng: random.Random, stamps: list[int]) -> list[tuple[int, float]]:
    value, points = float(rng.choice([0, 0, 3, 1000])), []
    whole = rng.random() < 0.7
    for at in stamps:
        if rng.random() < 0.03:
            value = 0.0 if rng.random() < 0.6 else max(value / 2, 1000.0)
        elif rng.random() < 0.7:
            value += 1000 if value < 1000 else rng.randrange(20) if whole else rng.random() * 10
        points.append((at, value))
    return stale(rng, points)


def gauge(rng: random.Random, stamps: list[int]) -> list[tuple[int, float]]:
    odd = rng.random() < 0.35
    strange = (math.nan, math.inf, -math.inf, 1e-300, -0.0, 0.0)
    points = []
    value = rng.uniform(-50, 50)
    for at in stamps:
        value += rng.gauss(0, 5)
        shown = round(value, 2) if rng.random() < 0.8 else float(round(value))
        points.append((at, rng.choice(strange) if odd and rng.random() < 0.05 else shown))
    return stale(rng, points)


def stale(rng: random.Random, points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Put staleness markers in some series."""
    if rng.random() < 0.5:
        return points
    return [(at, STALE_NAN if rng.random() < 0.02 else v) for at, v in points]


def series(seed: int) -> list[Series]:
    """Make the whole data set: counters, gauges, histograms, info metrics."""
    rng = random.Random(seed)
    kinds = ("regular", "regular", "jitter", "gaps", "late", "early", "sparse")
    out: list[Series] = []
    for job in ("api", "web"):
        for instance in ("a", "b", "c"):
            for code in ("200", "500"):
                stamps = times(rng, rng.choice(kinds))
                out.append((labelled("req_total", job=job, instance=instance, code=code), counter(rng, stamps)))
            stamps = times(rng, rng.choice(kinds))
            out.append((labelled("temp", job=job, instance=instance), gauge(rng, stamps)))
            out.append((labelled("load", job=job, instance=instance, cpu=rng.choice("01")), gauge(rng, stamps)))
            out.append(
                (
                    labelled("info", job=job, instance=instance, version=rng.choice(("1", "2"))),
                    [(t, 1.0) for t in stamps],
                )
            )
        out += histogram(rng, job, times(rng, rng.choice(kinds)))
    return [(labels, points) for labels, points in out if points]


def histogram(rng: random.Random, job: str, stamps: list[int]) -> list[Series]:
    counts = [0.0] * len(BOUNDS)
    columns: list[list[tuple[int, float]]] = [[] for _ in BOUNDS]
    for at in stamps:
        if rng.random() < 0.02:
            counts = [0.0] * len(BOUNDS)
        for i, column in enumerate(columns):
            column.append((at, counts[i]))
        for _ in range(rng.randrange(6)):
            first = rng.randrange(len(BOUNDS))
            for i in range(first, len(BOUNDS)):
                counts[i] += 1000 if counts[i] < 1000 else 1
    return [(labelled("lat_bucket", job=job, le=le), c) for le, c in zip(BOUNDS, columns, strict=True)]


class Queries:
    """Makes random queries; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def pick(self, *options: str) -> str:
        return self.rng.choice(options)

    def selector(self, names: tuple[str, ...] = ("req_total", "temp", "load", "lat_bucket", "info")) -> str:
        name = self.rng.choice(names)
        matchers = []
        for label, values in (("job", ("api", "web")), ("instance", ("a", "b", "c")), ("code", ("200", "500"))):
            if self.rng.random() < 0.2:
                op = self.rng.choice(("=", "!=", "=~", "!~"))
                value = (
                    self.rng.choice(values) if "~" not in op else self.rng.choice((".+", "a|b", "2..", "[a-w].*", ""))
                )
                matchers.append(f'{label}{op}"{value}"')
        return name + ("{" + ",".join(matchers) + "}" if matchers else "")

    def modifier(self) -> str:
        roll = self.rng.random()
        if roll < 0.1:
            return f" offset {self.pick('30s', '1m', '5m', '-1m')}"
        if roll < 0.15:
            return f" @ {(BETWEEN + 10 * self.rng.randrange(LENGTH // 10)) / 1000:.3f}"
        if roll < 0.18:
            return self.pick(" @ start()", " @ end()", " @ end() offset 2m")
        return ""

    def range_vector(self, depth: int) -> str:
        if depth > 0 and self.rng.random() < 0.2:
            step = self.pick("", "30s", "1m", "17s")
            return f"({self.vector(depth - 1)})[{self.pick('2m', '5m', '10m')}:{step}]"
        length = self.pick("30s", "1m", "2m", "5m", "7m13s", "20m")
        return f"{self.selector()}[{length}]{self.modifier()}"

    def scalar(self, depth: int) -> str:
        roll = self.rng.random()
        if roll < 0.6:
            return self.pick("0", "1", "2", "-1", "0.5", "100", "1e3", "NaN", "Inf", "-Inf", "3.7")
        if roll < 0.75:
            return self.pick("time()", "pi()")
        if roll < 0.85 and depth > 0:
            return f"scalar({self.vector(depth - 1)})"
        if depth <= 0:
            return "7"
        op = self.pick("+", "-", "*", "/", "%", "^", "> bool", "== bool")
        return f"({self.scalar(depth - 1)} {op} {self.scalar(depth - 1)})"

    def over_time(self, depth: int) -> str:
        name = self.pick(
            "rate", "rate", "increase", "delta", "irate", "idelta", "deriv", "resets", "changes", "sum_over_time",
            "avg_over_time", "min_over_time", "max_over_time", "count_over_time", "last_over_time", "stddev_over_time",
            "stdvar_over_time", "present_over_time", "absent_over_time",
        )  # fmt: skip
        roll = self.rng.random()
        if roll < 0.08:
            return f"quantile_over_time({self.pick('0.5', '0', '1', '0.9', '-1', '2')}, {self.range_vector(depth)})"
        if roll < 0.14:
            return f"predict_linear({self.range_vector(depth)}, {self.pick('60', '600', '-30')})"
        if roll < 0.18:
            return f"holt_winters({self.range_vector(depth)}, 0.3, 0.6)"
        return f"{name}({self.range_vector(depth)})"

    def function(self, depth: int) -> str:
        inner = self.vector(depth - 1)
        name = self.pick(
            "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "round", "clamp", "clamp_min",
            "clamp_max", "timestamp", "absent", "vector", "minute", "hour", "month", "year", "day_of_week",
            "day_of_month", "day_of_year", "days_in_month", "deg", "rad", "sin", "cos", "atan",
            "label_replace", "label_join", "histogram_quantile",
        )  # fmt: skip
        if name == "round" and self.rng.random() < 0.5:
            return f"round({inner}, {self.pick('0.1', '5', '10')})"
        if name == "exp":
            # Of a large number it differs in the last digits, and what is done with those differs in all.
            return f"exp(clamp({inner}, -5, 5))"
        if name == "clamp":
            return f"clamp({inner}, {self.pick('-5', '0')}, {self.pick('5', '100', '-10')})"
        if name in ("clamp_min", "clamp_max"):
            return f"{name}({inner}, {self.scalar(depth - 1)})"
        if name == "vector":
            return f"vector({self.scalar(depth - 1)})"
        if name == "label_replace":
            target, template = self.pick("new", "job", "instance"), self.pick("x-$1", "$2$1", "")
            source, pattern = self.pick("job", "instance", "nope"), self.pick("(.*)", "(a)(.*)", "(.)(.+)", "")
            return f'label_replace({inner}, "{target}", "{template}", "{source}", "{pattern}")'
        if name == "label_join":
            target, separator, other = self.pick("new", "job"), self.pick("-", ""), self.pick("instance", "code")
            return f'label_join({inner}, "{target}", "{separator}", "job", "{other}")'
        if name == "histogram_quantile":
            rated = self.pick(
                "rate(lat_bucket[5m])", "lat_bucket", "sum by (le) (rate(lat_bucket[2m]))", "increase(lat_bucket[1m])"
            )
            return f"histogram_quantile({self.pick('0.5', '0.95', '0', '1', '-1', '1.5', 'NaN', '0.3')}, {rated})"
        return f"{name}({inner})"

    def aggregation(self, depth: int) -> str:
        inner = self.vector(depth - 1)
        op = self.pick(
            "sum",
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "group",
            "stddev",
            "stdvar",
            "topk",
            "bottomk",
            "quantile",
            "count_values",
        )
        grouping = ""
        if self.rng.random() < 0.7:
            names = ", ".join(self.rng.sample(("job", "instance", "code", "le", "cpu"), self.rng.randrange(3)))
            grouping = f" {self.pick('by', 'without')} ({names})"
        if op in ("topk", "bottomk"):
            # Values that are equal are taken in an order that Prometheus leaves open, so they get a tiny difference.
            return f"{op}{grouping} ({self.pick('1', '2', '100', '0')}, {inner})"
        if op == "quantile":
            return f"quantile{grouping} ({self.pick('0.5', '0.1', '1', '-1', '3')}, {inner})"
        if op == "count_values":
            return f'count_values{grouping} ("v", floor({inner} / 10))'
        return f"{op}{grouping} ({inner})"

    def binary(self, depth: int) -> str:
        roll = self.rng.random()
        if roll < 0.2:
            op = self.pick("and", "or", "unless")
            matching = self.pick("", "", " on (job)", " on (job, instance)", " ignoring (code)", " on ()")
            return f"({self.vector(depth - 1)} {op}{matching} {self.vector(depth - 1)})"
        op = self.pick("+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "atan2")
        flag = " bool" if op in ("==", "!=", ">", "<", ">=", "<=") and self.rng.random() < 0.5 else ""
        if roll < 0.5:
            scalar = self.scalar(depth - 1)
            vector = self.vector(depth - 1)
            return f"({vector} {op}{flag} {scalar})" if self.rng.random() < 0.6 else f"({scalar} {op}{flag} {vector})"
        matching = self.pick(
            "", " on (job, instance)", " ignoring (code, cpu, version)", " on (job, instance) group_left ()",
            " on (job, instance) group_left (version)", " on (job, instance) group_right (cpu)", " on (job)",
            " ignoring (code) group_left",
        )  # fmt: skip
        right = self.pick("info", self.vector(depth - 1))
        return f"({self.vector(depth - 1)} {op}{flag}{matching} {right})"

    def vector(self, depth: int) -> str:
        roll = self.rng.random()
        if depth <= 0 or roll < 0.15:
            return self.selector() + self.modifier()
        if roll < 0.45:
            return self.over_time(depth - 1)
        if roll < 0.6:
            return self.function(depth)
        if roll < 0.8:
            return self.aggregation(depth)
        if roll < 0.85:
            return f"-({self.vector(depth - 1)})"
        return self.binary(depth)

    def query(self) -> str:
        return self.vector(self.rng.choice((1, 2, 2, 3)))
