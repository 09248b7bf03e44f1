"""Plays a short shape in real time: a real Prometheus scrapes it with the rules unchanged, a real Alertmanager routes.

What happens before the first event of a shape is written into Prometheus as its past, recordings included. From a
minute before that event on, targets are scraped over HTTP, come and go by service discovery, and time runs as it does
in production. Nothing is shortened, so a shape takes as long as it lasts from there.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tachograph.drill import remote_write
from tachograph.drill.quiet_life.run import WATCHED, Notified, Outcome
from tachograph.drill.quiet_life.shape import FOR_EVER, Shape
from tachograph.drill.quiet_life.world import World
from tachograph.drill.stack import Intervals, Stack

LEAD: Final = 1.0
"""Minutes that are played in real time before the first event."""
_WORD: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def begin_of(shape: Shape) -> float:
    """The minute from which a shape is played in real time."""
    times = [fault.begin for traffic in shape.traffic for fault in traffic.faults]
    times += [minute for traffic in shape.traffic for minute in (traffic.begin, traffic.end)]
    times += [minute for level in shape.levels for minute, _ in (*level.values, *level.slopes)]
    for target in shape.targets:
        times += [target.start, target.end, *target.restarts, *(begin for begin, _ in target.unreachable)]
    return max(min((one for one in times if 0 < one < FOR_EVER), default=0.0) - LEAD, 0.0)


def real_minutes(shape: Shape) -> float:
    """How long it takes in real time; infinite where it cannot be played so."""
    if shape.push or any(target.unseen for target in shape.targets):
        return math.inf  # nothing is scraped, or Prometheus itself would have to be away
    return shape.minutes - begin_of(shape)


class Targets:
    """Serves the targets of a shape over HTTP: what each would show at this moment."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.series = World(shape).by_target()
        self.index = 0
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = served.page(int(self.path.strip("/")))
                self.send_response(503 if body is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: Prometheus logs what it could not scrape."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def page(self, number: int) -> bytes | None:
        """The exposition of one target; None: it is unreachable."""
        where, series = self.series[number]
        if _at(series["up", where], self.index) != 1:
            return None
        own = len(where)
        lines = []
        for (name, labels), values in series.items():
            value = _at(values, self.index)
            if name != "up" and value is not None:
                inside = ",".join(f'{label}="{text}"' for label, text in labels[:-own])
                lines.append(f"{name}{{{inside}}} {value:.12g}\n")
        return "".join(lines).encode()

    def present(self) -> list[dict[str, Any]]:
        """The targets that exist now, for Prometheus's file discovery."""
        address = f"127.0.0.1:{self._server.server_address[1]}"
        return [
            {"targets": [address], "labels": {"__metrics_path__": f"/{number}", **dict(where)}}
            for number, (where, series) in enumerate(self.series)
            if _at(series["up", where], self.index) is not None
        ]

    def past(self, began: float) -> Iterator[tuple[remote_write.Labels, list[tuple[int, float]]]]:
        """Samples up to now, as scrapes would have brought them."""
        step = self.shape.step
        for _, series in self.series:
            for (name, labels), values in series.items():
                points = [
                    (
                        round((began - (self.index - at) * step) * 1000),
                        remote_write.STALE if math.isnan(value) else value,
                    )
                    for at, value in enumerate(values[: self.index])
                    if value is not None
                ]
                yield (("__name__", name), *labels), points


def _at(values: Sequence[float | None], index: int) -> float | None:
    value = values[min(index, len(values) - 1)]
    return None if value is None or math.isnan(value) else value


def play(
    shape: Shape,
    rules: Mapping[str, str],
    identity: tuple[str, ...],
    *,
    begin: float | None = None,
    group_wait: float = 30,
    until_paged: bool = False,
    stop: threading.Event | None = None,
) -> Outcome:
    """Play one shape in real time.

    Args:
        shape: The shape.
        rules: Rule files: name to text.
        identity: Identity labels of the settings, for the routes.
        begin: The minute to begin with, when not the one before the first event.
        group_wait: Alertmanager's, in seconds.
        until_paged: End it with the first page.
        stop: Ends it early when set.

    Raises:
        StackError: Prometheus or Alertmanager did not start, or stopped.
        MissingToolError: One of them is not on PATH.
    """
    begin = begin_of(shape) if begin is None else begin
    stop = stop or threading.Event()
    intervals = Intervals(scrape=shape.step, evaluation=shape.evaluate, group_wait=group_wait)
    with (
        contextlib.closing(Targets(shape)) as targets,
        Stack(rules, {}, intervals, identity=identity, with_past=True) as stack,
    ):
        targets.index = int(begin * 60 / shape.step)
        began = time.time()
        if targets.index:
            remote_write.write(stack.prometheus_url, targets.past(began))
            _record_past(stack, began - targets.index * shape.step, began, shape.evaluate)
        present = None
        while (minute := begin + (time.time() - began) / 60) < shape.minutes and not stop.is_set():
            targets.index = int(minute * 60 / shape.step)
            if (now := targets.present()) != present:
                stack.discover(now)
                present = now
            if until_paged and any(one.receiver == "page" for one in stack.receiver.notifications):
                break
            stop.wait(min(1.0, shape.step / 4))
        fired = _fired(stack, began, begin, shape)
        return Outcome(shape, fired, _opened(stack, began, begin, shape))


def _record_past(stack: Stack, first: float, last: float, every: float) -> None:
    """What the recording rules would have written: each is asked over the past, after those that it reads."""
    groups = stack.get("rules", type="record")["groups"]
    waiting = [rule for group in groups for rule in group["rules"]]
    while waiting:
        names = {rule["name"] for rule in waiting}
        ready = [rule for rule in waiting if not names & set(_WORD.findall(rule["query"]))] or waiting
        for name in dict.fromkeys(rule["name"] for rule in ready):
            series = []
            for rule in (one for one in ready if one["name"] == name):
                asked = {"query": rule["query"], "start": f"{first:.3f}", "end": f"{last:.3f}", "step": f"{every:g}"}
                for one in stack.get("query_range", **asked)["result"]:
                    labels = {**one["metric"], **rule.get("labels", {}), "__name__": name}
                    points = [(round(float(at) * 1000), float(value)) for at, value in one["values"]]
                    series.append((tuple(sorted(labels.items())), points))
            if series:
                remote_write.write(stack.prometheus_url, series)
        waiting = [rule for rule in waiting if rule not in ready]


def _fired(stack: Stack, began: float, begin: float, shape: Shape) -> dict[str, float]:
    now = time.time()
    found: dict[str, float] = {}
    for one in stack.get("query", query=f"{WATCHED}[{math.ceil(now - began)}s]", time=f"{now:.3f}")["result"]:
        name, at = one["metric"]["alertname"], begin + (float(one["values"][0][0]) - began) / 60
        if name not in shape.ignore:
            found[name] = min(at, found.get(name, at))
    return found


def _opened(stack: Stack, began: float, begin: float, shape: Shape) -> tuple[Notified, ...]:
    """The notifications that opened something: the first of a group, until the group is resolved."""
    found, open_groups = [], set()
    for one in stack.receiver.notifications:
        key = (one.receiver, one.group)
        if one.status == "resolved":
            open_groups.discard(key)
            continue
        names = sorted({name for name, status in one.alerts if status == "firing" and name not in shape.ignore})
        if one.receiver == "watchdog" or not names or key in open_groups:
            continue
        open_groups.add(key)
        found.append(Notified(begin + (one.unix - began) / 60, one.receiver, tuple(names)))
    return tuple(found)
