"""Plays the scenarios to a peer and judges each answer: right, missing or wrong, with the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import BY_NAME, Peer, python_of
from benchmarks.processes import Worker, WorkerError
from benchmarks.truth import own, reading
from benchmarks.truth.reading import Reading
from benchmarks.truth.scenarios import About, Scenario, scenarios
from tachograph_demo.simulators import Simulators

OURS = "tachograph_spans"
PEERS = (OURS, "otel", "openllmetry", "openinference", "logfire", "openlit", "langfuse", "native", "fastmcp")
"""In the order of the table; ours with every signal on."""
SECONDS = 60.0
"""Longest that one scenario may take."""


class NotItsBusinessError(Exception):
    """The peer watches nothing of the kind."""


@dataclass
class Verdict:
    """One answer of one peer.

    Attributes:
        verdict: `right`, `missing`, `wrong`.
        expected, answered: As text; `answered` is the best reading.
        where: Where it stood.
        readings: All readings.
    """

    scenario: str
    group: str
    question: str
    verdict: str
    expected: str
    answered: str
    where: str
    readings: list[dict[str, Any]]


def is_right(question: str, expected: Any, answered: Any, *, strict: bool) -> bool:
    """Whether an answer is right. Peers' price lists may be a percent off; ours may not."""
    if isinstance(expected, About):
        return isinstance(answered, int | float) and expected.low <= answered <= expected.high
    if question == "cost_usd":
        tolerance = 1e-6 if strict else 0.01
        return isinstance(answered, int | float) and math.isclose(answered, expected, rel_tol=tolerance, abs_tol=2e-9)
    if question == "provider" and isinstance(answered, str):
        return expected in answered.lower()
    return bool(answered == expected)


def judge(scenario: Scenario, question: str, expected: Any, readings: list[Reading], *, strict: bool) -> Verdict:
    """The verdict on one question: for peers the best reading counts, for us (`strict`) every one of them."""
    rights = [r for r in readings if is_right(question, expected, r.value, strict=strict)]
    wrongs = [r for r in readings if r not in rights and not r.aside]
    shown = (wrongs or rights) if strict else (rights or wrongs)
    if strict:
        verdict = "right" if readings and not wrongs else "wrong"
    elif rights:
        verdict = "right"
    else:
        # nothing that counts is said about a thing whose count is 0 is a silence, too
        verdict = "wrong" if wrongs and not _is_silence(question, wrongs) else "missing"
    return Verdict(
        scenario.name,
        scenario.group,
        question,
        verdict,
        _text(expected),
        _text(shown[0].value) if shown else "",
        shown[0].where if shown else "",
        [asdict(r) for r in readings],
    )


def _is_silence(question: str, readings: list[Reading]) -> bool:
    """Zeros where there was something to tell: the peer does not tell it."""
    silent = question in (
        "input_tokens",
        "output_tokens",
        "cache_read",
        "cache_write",
        "reasoning",
        "calls",
        "tool_calls",
    )
    return silent and all(not r.value for r in readings)


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def play(
    peer: Peer,
    python: Path,
    wanted: Sequence[Scenario] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Play the scenarios to one peer; returns verdicts and everything that was emitted, as plain data."""
    is_ours = peer.name.startswith("tachograph")
    verdicts: list[Verdict] = []
    evidence: dict[str, Any] = {}
    with Simulators(seed=7) as simulators:
        urls = {**simulators.urls}

        def begin() -> Worker:
            return Worker(python, "benchmarks.truth.worker", [peer.name, json.dumps(urls)], SECONDS * 3)

        worker = begin()
        worker.seconds = SECONDS
        ordinary: dict[tuple[bool, str], str] = {}
        try:
            for number, scenario in enumerate(wanted or scenarios()):
                simulators.clear(seed=number)  # no answer's id comes twice, as nowhere
                for vendor, items in scenario.answers.items():
                    getattr(simulators, vendor).script(*items)
                try:
                    if peer.groups and scenario.group not in peer.groups:
                        raise NotItsBusinessError
                    emitted = worker.ask(
                        "play", action=scenario.action, arguments=scenario.arguments, twice=scenario.twice
                    )
                except NotItsBusinessError:
                    emitted = {"raised": "not played: none of its business", "own": None, "spans": [], "metrics": []}
                except WorkerError as error:
                    emitted = {"raised": f"the peer broke it: {error}", "own": None, "spans": [], "metrics": []}
                    worker.close()
                    worker = begin()
                    worker.seconds = SECONDS
                evidence[scenario.name] = emitted
                streams = scenario.group == "streams"
                if scenario.group == "plain" or scenario.name == "tool" or scenario.name.startswith("stream "):
                    for span in emitted["spans"]:
                        ordinary.setdefault((streams, reading.maker(span)), span["status"])
                served = list(simulators.served)
                for question, truth in scenario.truth.items():
                    expected = truth(served) if callable(truth) else truth
                    if is_ours:
                        found = (
                            own.read(question, emitted, counted_again=scenario.reads_again) if emitted["own"] else []
                        )
                    else:
                        statuses = {who: status for (stream, who), status in ordinary.items() if stream == streams}
                        found = reading.read(question, emitted, statuses, reads_again=scenario.reads_again)
                    verdict = judge(scenario, question, expected, found, strict=is_ours)
                    verdicts.append(verdict)
                missed = [f"{v.question} {v.verdict}" for v in verdicts[-len(scenario.truth) :] if v.verdict != "right"]
                say(f"    {scenario.name}: {', '.join(missed) or 'right'}")
        finally:
            worker.close()
    return {"verdicts": [asdict(verdict) for verdict in verdicts], "emitted": evidence}


def run(names: Sequence[str] = PEERS, *, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Play everything to every peer, three at a time (they wait a lot); returns plain data for JSON, by peer's name."""

    def one(name: str) -> dict[str, Any]:
        try:
            return play(BY_NAME[name], python_of(BY_NAME[name]))
        except (RuntimeError, WorkerError) as error:
            return {"problem": str(error)}
        finally:
            say(f"  {BY_NAME[name].title}")

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))
