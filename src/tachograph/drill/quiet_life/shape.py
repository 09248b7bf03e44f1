"""What a shape is made of: traffic, faults, and what happens to targets, scrapes and pushes. Times are minutes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypedDict

Expected = Literal["nothing", "ticket", "page"]
FOR_EVER: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One process that is scraped, or that pushes.

    Attributes:
        instance, job, labels: Its target labels.
        start, end: When it exists.
        unreachable: Times in which a scrape fails, or a push is lost.
        unseen: Times in which Prometheus takes no sample of it, nor notes that there is none.
        restarts: When its counters begin at zero again.
        float_bounds: Its bucket bounds are spelled `30.0` instead of `30`.
        clock: Minutes by which its own clock, which stamps what it pushes, is ahead.
    """

    instance: str = "app-1:9464"
    job: str = "tachograph"
    labels: tuple[tuple[str, str], ...] = ()
    start: float = 0.0
    end: float = FOR_EVER
    unreachable: tuple[tuple[float, float], ...] = ()
    unseen: tuple[tuple[float, float], ...] = ()
    restarts: tuple[float, ...] = ()
    float_bounds: bool = False
    clock: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with calls between two moments.

    Attributes:
        begin, end: When.
        share: Part of the calls (or of the attempts, with `cured`) that it hits.
        error_type: As in llm_provider_errors_total, or mcp_tool_errors_total for a tool; `cancelled`: the user stops
            the answer.
        attempts: Failed attempts of one call.
        cured: A retry saves the call.
        seconds: Successful calls take so long instead of failing; with `cancelled`, they are cancelled after so long.
        hang: Calls begin and do not end until the end of the fault, when they time out, or succeed with `cured`.
        instance: Only on this target.
    """

    begin: float
    end: float = FOR_EVER
    share: float = 1.0
    error_type: str = "server_error"
    attempts: int = 1
    cured: bool = False
    seconds: float | None = None
    hang: bool = False
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Calls to one model, or with `tool` to one tool.

    Attributes:
        per_minute: Calls a minute, at random.
        every: One call every so many minutes instead, by the clock.
        hours: Only in these hours of the day (the shape begins at midnight).
        days: Only on these days (0 is the first).
        usd: Cost of a call.
        seconds: Duration of a call that succeeds.
        instances: Targets that make the calls; empty: all.
    """

    provider: str = "openai"
    model: str = "gpt-5"
    tool: tuple[str, str] = ("", "")
    per_minute: float = 0.0
    every: float = 0.0
    hours: tuple[float, float] = (0, 24)
    days: tuple[int, ...] = ()
    begin: float = 0.0
    end: float = FOR_EVER
    usd: float = 0.002
    seconds: float = 2.0
    errors: float = 0.003
    faults: tuple[Fault, ...] = ()
    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A gauge or counter that is given directly: (minute, value) steps, or with `slope` a growth for each minute."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[float, float], ...]
    slopes: tuple[tuple[float, float], ...] = ()
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One piece of real operation, and what should come of it.

    Attributes:
        name, story: What goes on.
        expected: The loudest thing that should happen.
        may: A louder or quieter thing that is right as well.
        knowable: When a page's condition can be known (the fifth failed call, say): it counts from there. Most
            faults begin at minute 60.
        within: Longest time from there to the page.
        pages: How many pages are right.
        minutes: How long it lasts.
        step: Seconds between two scrapes.
        evaluate: Seconds between two evaluations, for rules that are made here; those of an export have their own.
        identity: Identity labels of the settings, where not the user's.
        push: Metrics are pushed over OTLP each `step`, and the rules are those of the profile `push`.
        ignore: Alerts that fire only because the shape is scraped less often, to be played sooner.
    """

    name: str
    story: str
    expected: Expected = "nothing"
    traffic: tuple[Traffic, ...] = ()
    targets: tuple[Target, ...] = field(default=(Target(),))
    levels: tuple[Level, ...] = ()
    may: tuple[Expected, ...] = ()
    knowable: float = 61
    within: float = 5.0
    pages: int = 1
    minutes: float = 120
    step: int = 15
    evaluate: int = 30
    identity: tuple[str, ...] = ()
    push: bool = False
    ignore: tuple[str, ...] = ()


class _Sooner(TypedDict):
    evaluate: int
    ignore: tuple[str, ...]


SOONER: Final[_Sooner] = {"evaluate": 60, "ignore": ("LLMMonitorScrapeTooSparse",)}
"""For a long shape with a longer `step`: it is played sooner, and the alert about its scrapes is left out."""
