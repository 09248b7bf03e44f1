"""The catalogue of shapes: quiet ones, in which no page may fire, and outages, which must page soon."""

from __future__ import annotations

import math
from typing import Final

from tachograph.drill.quiet_life.shape import Fault, Level, Shape, Target, Traffic

_THREE: Final = tuple(Target(instance=f"app-{number}:9464") for number in (1, 2, 3))
_OLD_401: Final = Traffic(
    provider="openai", model="gpt-5", per_minute=60, errors=0, faults=(Fault(begin=0, end=0.2, error_type="auth"),)
)
"""An application that met one rejected key at its start, and never again: the counter stands above zero."""
_OLD_TOOL: Final = Traffic(tool=("git", "log"), per_minute=3, errors=0, seconds=0.3)
_OLD_ERRORS: Final = (
    Level(
        name="mcp_tool_errors_total",
        labels=(("server_id", "git"), ("tool_name", "log"), ("error_kind", "connection")),
        values=((0, 3),),
    ),
)
_SCRAPED_LESS: Final = ("LLMMonitorScrapeTooSparse",)
_BUSY: Final = Traffic(per_minute=60)


def _gap(seconds: int) -> Shape:
    return Shape(
        name=f"scrape-gap-{seconds}s",
        story=f"Scrapes fail for {seconds} s; counters hold errors of long ago",
        expected="nothing",
        traffic=(_OLD_401, _OLD_TOOL),
        targets=(Target(unreachable=((60, 60 + seconds / 60),)),),
        levels=(
            *_OLD_ERRORS,
            Level(
                name="llm_calls_unpriced_total", labels=(("provider", "openai"), ("model", "ft:x")), values=((0, 3),)
            ),
            Level(name="llm_usage_persist_errors_total", labels=(("error_type", "db_error"),), values=((0, 2),)),
            Level(
                name="tachograph_label_overflow_total", labels=(("family", "x"), ("label", "model")), values=((0, 2),)
            ),
        ),
        minutes=95,
    )


def _outage(
    name: str, per_minute: float, knowable: float, *, story: str = "", error_type: str = "server_error"
) -> Shape:
    return Shape(
        name=name,
        story=story or f"Every call fails for 40 minutes, {per_minute:g} calls a minute",
        expected="page",
        knowable=60 + knowable,
        traffic=(Traffic(per_minute=per_minute, faults=(Fault(begin=60, end=100, error_type=error_type),)),),
        minutes=125,
    )


def _sparse(every: float, failures: int = 2) -> Shape:
    """An outage that the second failed call shows (or a later one, where calls are more frequent)."""
    first = math.ceil(120 / every) * every
    return Shape(
        name=f"sparse-outage-every-{every:g}m",
        story=f"One call every {every:g} minutes; all fail for three hours",
        expected="page",
        knowable=first + (failures - 1) * every,
        traffic=(Traffic(every=every, faults=(Fault(begin=120, end=300),), errors=0),),
        minutes=360,
        evaluate=60,
        step=30,
        ignore=_SCRAPED_LESS,
    )


QUIET: Final = (
    *(_gap(seconds) for seconds in (60, 90, 180, 300, 420)),
    Shape(
        name="prometheus-away-10m",
        story="Prometheus itself is down for ten minutes; an old 401 in the counters",
        expected="nothing",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(unseen=((60, 70),)),),
    ),
    Shape(
        name="target-renamed",
        story="A replica appears under a new name, with an old 401 in its counters",
        expected="nothing",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(), Target(instance="pod-b:9464", unseen=((0, 40),))),
        minutes=80,
    ),
    Shape(
        name="restart-kept-counters",
        story="A restart of two minutes with kept multiprocess files: counters go on, an old 401 among them",
        expected="nothing",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(unreachable=((60, 62),)),),
    ),
    Shape(
        name="restart-fresh-counters",
        story="A restart of two minutes; counters begin at zero",
        expected="nothing",
        traffic=(_BUSY,),
        targets=(Target(unreachable=((60, 62),), restarts=(62,)),),
    ),
    Shape(
        name="rolling-restart",
        story="Three hosts reboot one after the other, three minutes each",
        expected="nothing",
        traffic=(Traffic(per_minute=30),),
        targets=tuple(
            Target(instance=f"app-{n}:9464", unreachable=((40 + 5 * n, 43 + 5 * n),), restarts=(43 + 5 * n,))
            for n in (1, 2, 3)
        ),
        minutes=90,
    ),
    Shape(
        name="deploy-new-pods",
        story="Pods are replaced every 30 minutes under new names",
        expected="nothing",
        traffic=(Traffic(per_minute=40),),
        targets=tuple(Target(instance=f"pod-{n}:9464", start=30 * n, end=30 * n + 31) for n in range(5)),
        minutes=150,
    ),
    Shape(
        name="cured-retries",
        story="Half of the calls of an hour meet a 529 first, and every retry succeeds",
        expected="ticket",
        traffic=(Traffic(provider="anthropic", per_minute=30, faults=(Fault(begin=60, share=0.5, cured=True),)),),
        may=("nothing",),
    ),
    Shape(
        name="one-call-of-five-attempts",
        story="One call in a quiet service fails after five attempts",
        expected="nothing",
        traffic=(Traffic(every=3, errors=0, faults=(Fault(begin=62.9, end=63.1, attempts=5),)),),
    ),
    Shape(
        name="two-of-twenty",
        story="Two calls of twenty an hour fail for good, twelve minutes apart",
        expected="nothing",
        traffic=(Traffic(every=3, errors=0, faults=(Fault(begin=62.9, end=63.1), Fault(begin=74.9, end=75.1))),),
    ),
    Shape(
        name="second-call-of-a-new-model-fails",
        story="A model is new, is asked every ten minutes, and its second call fails",
        expected="nothing",
        traffic=(
            Traffic(every=10, begin=30, errors=0, faults=(Fault(begin=39.9, end=40.1),)),
            Traffic(provider="anthropic", model="claude-sonnet-5", per_minute=10),
        ),
        minutes=90,
    ),
    Shape(
        name="one-failed-call-and-a-gap",
        story="A quiet service meets one failed call, and cannot be scraped in the minutes after it",
        expected="nothing",
        traffic=(Traffic(every=12, errors=0, faults=(Fault(begin=59.9, end=60.1),)),),
        targets=(Target(unreachable=((61.5, 67),)),),
        minutes=100,
    ),
    Shape(
        name="customers-bad-key",
        story="One call in 200 uses a customer's own rejected key, all day",
        expected="nothing",
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=0, share=0.005, error_type="auth"),)),),
        minutes=180,
    ),
    Shape(
        name="invalid-prompts",
        story="Five per cent of the calls are refused as invalid: prompts that are too long",
        expected="nothing",
        may=("ticket",),
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=30, share=0.05, error_type="invalid_request"),)),),
    ),
    Shape(
        name="filtered-content",
        story="Four per cent of the answers are stopped by the content filter",
        expected="nothing",
        may=("ticket",),
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=30, share=0.04, error_type="content_filter"),)),),
    ),
    Shape(
        name="blip-45s",
        story="Every call fails for 45 seconds, then all is well",
        expected="nothing",
        may=("ticket",),
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=60, end=60.75),)),),
        minutes=90,
    ),
    Shape(
        name="errors-one-per-cent",
        story="One call in a hundred fails, as the objective allows",
        expected="nothing",
        traffic=(Traffic(per_minute=120, errors=0.01),),
        minutes=180,
    ),
    Shape(
        name="rate-limits-waited-out",
        story="A third of the calls meet a 429 and wait it out",
        expected="ticket",
        may=("nothing",),
        traffic=(Traffic(per_minute=30, faults=(Fault(begin=30, share=0.33, error_type="rate_limit", cured=True),)),),
    ),
    Shape(
        name="client-unwatched",
        story="A release imports an SDK that is not watched",
        expected="ticket",
        traffic=(_BUSY,),
        levels=(Level(name="tachograph_unwatched_client", labels=(("library", "cohere"),), values=((0, 0), (60, 1))),),
    ),
    Shape(
        name="usage-contradicts",
        story="A provider changes its usage report: one answer in five contradicts itself",
        expected="ticket",
        traffic=(_BUSY,),
        levels=(
            Level(
                name="llm_usage_mismatch_total",
                labels=(("provider", "openai"), ("model", "gpt-5"), ("reason", "total")),
                values=((0, 0),),
                slopes=((60, 12),),
            ),
        ),
    ),
    Shape(
        name="one-of-three-replicas-dead",
        story="One replica of three cannot be scraped any more",
        expected="ticket",
        traffic=(Traffic(per_minute=30),),
        targets=(*_THREE[:2], Target(instance="app-3:9464", unreachable=((30, 1000),))),
        minutes=80,
    ),
    Shape(
        name="one-of-three-writers-stuck",
        story="The ledger's writer of one replica of three stands still",
        expected="ticket",
        traffic=(Traffic(per_minute=30),),
        targets=_THREE,
        levels=tuple(
            Level(name=name, labels=labels, values=values, slopes=slopes, instance=f"app-{n}:9464")
            for n in (1, 2, 3)
            for name, labels, values, slopes in (
                ("llm_usage_records_accepted_total", (), ((0.0, 0.0),), ((0.0, 30.0),)),
                (
                    "llm_usage_persist_seconds_count",
                    (("outcome", "success"),),
                    ((0.0, 0.0), (20.0, 600.0)) if n == 3 else ((0.0, 0.0),),
                    ((0.0, 30.0), (20.0, 0.0)) if n == 3 else ((0.0, 30.0),),
                ),
                (
                    "llm_usage_persist_queue_size",
                    (),
                    ((0.0, 2.0),),
                    ((20.0, 30.0),) if n == 3 else (),
                ),
                ("llm_usage_writer_alive", (), ((0.0, 1.0), (20.0, 0.0)) if n == 3 else ((0.0, 1.0),), ()),
                ("llm_usage_persist_oldest_age_seconds", (), ((0.0, 0.5),), ((20.0, 60.0),) if n == 3 else ()),
            )
        ),
        minutes=60,
    ),
    Shape(
        name="external-writer",
        story="The ledger's writer is a process of its own, under another job: nothing is lost",
        expected="nothing",
        traffic=(Traffic(per_minute=60, instances=("app-1:9464",)),),
        targets=(Target(), Target(instance="writer:9465", job="ledger-writer")),
        levels=(
            Level(name="llm_usage_records_accepted_total", values=((0, 0),), slopes=((0, 60),), instance="app-1:9464"),
            Level(name="llm_usage_persist_queue_size", values=((0, 3),), instance="app-1:9464"),
            Level(
                name="llm_usage_persist_seconds_count",
                labels=(("outcome", "success"),),
                values=((0, 0),),
                slopes=((0, 60),),
                instance="writer:9465",
            ),
            Level(name="llm_usage_writer_alive", values=((0, 1),)),
        ),
        minutes=150,
    ),
    Shape(
        name="office-hours",
        story="Two days of traffic from eight to eighteen o'clock",
        expected="nothing",
        traffic=(Traffic(per_minute=20, hours=(8, 18), usd=0.05),),
        minutes=2880,
        step=60,
        ignore=_SCRAPED_LESS,
        evaluate=60,
    ),
    Shape(
        name="nightly-batch",
        story="A batch of 400 calls each night, and hardly anything else",
        expected="nothing",
        traffic=(Traffic(per_minute=40, hours=(2, 2.17), usd=0.02), Traffic(per_minute=0.05, errors=0)),
        minutes=2880,
        step=60,
        ignore=_SCRAPED_LESS,
        evaluate=60,
    ),
    Shape(
        name="first-hours",
        story="A new installation: traffic begins, with a few errors",
        expected="nothing",
        traffic=(Traffic(per_minute=30, begin=10, errors=0.01),),
        minutes=240,
        evaluate=60,
    ),
    Shape(
        name="new-expensive-model",
        story="A model that costs five times as much takes over part of the traffic",
        expected="nothing",
        traffic=(Traffic(per_minute=18, usd=0.004), Traffic(model="gpt-5-pro", per_minute=18, usd=0.02, begin=420)),
        minutes=600,
        evaluate=60,
        step=30,
        ignore=_SCRAPED_LESS,
    ),
    Shape(
        name="slow-reasoning-model",
        story="Answers of a reasoning model take five minutes, a few at a time",
        expected="nothing",
        may=("ticket",),
        traffic=(Traffic(model="o3-deep-research", every=7, seconds=300, errors=0),),
        levels=(
            Level(
                name="llm_call_oldest_seconds",
                labels=(("provider", "openai"), ("model", "o3-deep-research")),
                values=tuple((7.0 * n, 0.0) for n in range(20)),
                slopes=tuple((7.0 * n, 60.0) for n in range(20)),
            ),
        ),
    ),
    Shape(
        name="users-stop-answers",
        story="Nothing fails, and the service is idle for half an hour",
        expected="nothing",
        traffic=(Traffic(per_minute=20, end=60), Traffic(per_minute=20, begin=90)),
        minutes=150,
    ),
    Shape(
        name="flaky-tool-validation",
        story="A third of one tool's calls have invalid arguments, chosen by the model",
        expected="ticket",
        may=("nothing",),
        traffic=(
            Traffic(
                tool=("search", "query"),
                per_minute=10,
                seconds=0.3,
                faults=(Fault(begin=30, share=0.33, error_type="validation"),),
            ),
        ),
    ),
    Shape(
        name="slow-tool-now-and-then",
        story="One tool call of twelve seconds every four minutes",
        expected="ticket",
        may=("nothing",),
        traffic=(Traffic(tool=("crawl", "fetch"), every=4, seconds=12, errors=0),),
    ),
    Shape(
        name="staging-fails-production-well",
        story="Staging, distinguished by the label cluster, is down for an hour; production is well",
        expected="page",
        knowable=31,
        identity=("cluster", "job"),
        traffic=(
            Traffic(per_minute=30, instances=("stage:9464",), faults=(Fault(begin=30, end=90),)),
            Traffic(per_minute=30, instances=("prod:9464",)),
        ),
        targets=(
            Target(instance="stage:9464", labels=(("cluster", "staging"),)),
            Target(instance="prod:9464", labels=(("cluster", "prod"),)),
        ),
    ),
    Shape(
        name="scrape-every-60s",
        story="Scraped once a minute, which is too seldom for one of the rules",
        expected="ticket",
        traffic=(Traffic(per_minute=60),),
        step=60,
        minutes=150,
    ),
    Shape(
        name="quiet-day",
        story="Six hours of normal traffic on four models, three replicas and two tools",
        expected="nothing",
        traffic=(
            Traffic(per_minute=20),
            Traffic(provider="anthropic", model="claude-sonnet-5", per_minute=10),
            Traffic(provider="gemini", model="gemini-2.5-pro", per_minute=2, seconds=12),
            Traffic(model="gpt-5-mini", every=11, errors=0),
            Traffic(tool=("search", "query"), per_minute=6, seconds=0.4),
            Traffic(tool=("git", "log"), every=10, seconds=0.1, errors=0),
        ),
        targets=_THREE,
        minutes=360,
        evaluate=60,
        step=30,
        ignore=_SCRAPED_LESS,
    ),
)

OUTAGES: Final = (
    _outage("outage-120-per-minute", 120, 1),
    _outage("outage-12-per-minute", 12, 2),
    _outage("outage-3-per-minute", 3, 2.5),
    _outage("outage-1-per-minute", 1, 6),
    _outage("outage-timeouts", 30, 1, story="Every call times out for 40 minutes", error_type="timeout"),
    _outage("outage-connection", 30, 1, story="DNS is broken for 40 minutes", error_type="connection"),
    _outage("key-revoked", 60, 1, story="The provider rejects our key for 40 minutes", error_type="auth"),
    _outage("key-revoked-quiet", 2, 3, story="The provider rejects the key of a quiet service", error_type="auth"),
    _outage("quota-spent", 30, 1, story="Credit is used up for 40 minutes", error_type="quota"),
    _outage("only-429", 30, 1, story="Every call ends in a 429, retries included", error_type="rate_limit"),
    _outage("only-429-quiet", 1.2, 5, story="The same in a quiet service", error_type="rate_limit"),
    _outage("model-retired", 120, 1, story="Every call is refused: unknown model", error_type="invalid_request"),
    _outage("model-retired-quiet", 3, 3, story="The same, three calls a minute", error_type="invalid_request"),
    _sparse(5, failures=3),
    *(_sparse(every) for every in (10, 14, 20, 30, 50)),
    Shape(
        name="outage-of-3-minutes",
        story="Every call fails for three minutes, 120 calls a minute",
        expected="page",
        knowable=61,
        traffic=(Traffic(per_minute=120, faults=(Fault(begin=60, end=63),)),),
        minutes=100,
    ),
    Shape(
        name="a-third-fails",
        story="A third of the calls fail after all retries",
        expected="page",
        knowable=63,
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=60, end=100, share=0.35, attempts=3),)),),
        minutes=130,
    ),
    Shape(
        name="one-model-of-many",
        story="One model with a tenth of the traffic is dead, the other thrives",
        expected="page",
        knowable=61,
        traffic=(Traffic(per_minute=54), Traffic(model="gpt-5-mini", per_minute=6, faults=(Fault(begin=60),))),
    ),
    Shape(
        name="second-application",
        story="A small application is dead while a big one with the same model thrives",
        expected="page",
        knowable=61,
        traffic=(
            Traffic(per_minute=300, instances=("shop:9464",)),
            Traffic(per_minute=12, instances=("search:9464",), faults=(Fault(begin=60),)),
        ),
        targets=(Target(instance="shop:9464"), Target(instance="search:9464", job="search")),
        minutes=90,
    ),
    Shape(
        name="provider-hangs",
        story="The provider accepts connections and never answers; the client would wait 600 s",
        expected="page",
        knowable=61,
        within=2,
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=60, end=69, hang=True),)),),
        minutes=85,
    ),
    Shape(
        name="tool-server-quiet-outage",
        story="A tool that is used every ten minutes fails for three hours",
        expected="page",
        knowable=130,
        traffic=(Traffic(tool=("git", "log"), every=10, seconds=0.2, errors=0, faults=(Fault(begin=115, end=300),)),),
        minutes=330,
        evaluate=60,
        step=30,
        ignore=_SCRAPED_LESS,
    ),
    Shape(
        name="tool-server-outage",
        story="Every call of an MCP server's tools fails",
        expected="page",
        knowable=61,
        traffic=(Traffic(tool=("search", "query"), per_minute=12, seconds=0.2, faults=(Fault(begin=60, end=90),)),),
        minutes=110,
    ),
    Shape(
        name="all-replicas-down",
        story="The whole application is gone; gaps of up to seven minutes are left alone",
        expected="page",
        knowable=67,
        traffic=(Traffic(per_minute=30),),
        targets=tuple(Target(instance=f"app-{n}:9464", unreachable=((60, 200),)) for n in (1, 2, 3)),
        minutes=85,
    ),
    Shape(
        name="new-fault-beside-old-slow-burn",
        story="A day of two per cent errors, then another model goes down",
        expected="page",
        knowable=1501,
        traffic=(
            Traffic(per_minute=30, errors=0.045),
            Traffic(model="gpt-5-mini", per_minute=6, faults=(Fault(begin=1500),)),
        ),
        minutes=1530,
        evaluate=60,
        step=60,
        ignore=_SCRAPED_LESS,
        within=6,
    ),
    Shape(
        name="budget-spent",
        story="A budget of the user's reaches its limit",
        expected="page",
        knowable=60,
        traffic=(Traffic(per_minute=30),),
        levels=(
            Level(name="llm_budget_limit_usd", labels=(("budget", "team"), ("period", "day")), values=((0, 50),)),
            Level(
                name="llm_budget_spent_usd",
                labels=(("budget", "team"), ("period", "day")),
                values=((0, 20), (60, 50)),
                slopes=((0, 0.5),),
            ),
        ),
        minutes=90,
    ),
    # every incident of the demo
    Shape(
        name="incident-provider-outage",
        story="Demo: Anthropic answers every request with 529",
        expected="page",
        knowable=61,
        traffic=(
            Traffic(per_minute=60),
            Traffic(provider="anthropic", model="claude-opus-5", per_minute=30, faults=(Fault(begin=60, attempts=3),)),
            Traffic(provider="anthropic", model="claude-haiku-5", per_minute=30, faults=(Fault(begin=60, attempts=3),)),
        ),
        minutes=90,
    ),
    Shape(
        name="incident-bad-key",
        story="Demo: OpenAI rejects our API key",
        expected="page",
        knowable=61,
        traffic=(Traffic(per_minute=90, faults=(Fault(begin=60, error_type="auth"),)),),
        minutes=90,
    ),
    Shape(
        name="incident-rate-limit-storm",
        story="Demo: three quarters of the requests meet a 429; two calls in five fail",
        expected="page",
        knowable=63,
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=60, share=0.42, error_type="rate_limit", attempts=3),)),),
        minutes=90,
    ),
    Shape(
        name="incident-slow-tool",
        story="Demo: one tool takes fourteen seconds",
        expected="ticket",
        traffic=(
            Traffic(
                tool=("workshop", "search_orders"), per_minute=10, seconds=0.3, faults=(Fault(begin=60, seconds=14),)
            ),
        ),
        minutes=100,
    ),
    Shape(
        name="incident-dead-mcp-server",
        story="Demo: the MCP server is killed and stays away",
        expected="page",
        knowable=61,
        traffic=(
            Traffic(
                tool=("workshop", "weather"),
                per_minute=20,
                seconds=0.3,
                faults=(Fault(begin=60, error_type="connection"),),
            ),
        ),
        levels=(
            Level(name="mcp_server_connections_active", labels=(("server_id", "workshop"),), values=((0, 1), (60, 0))),
        ),
        minutes=90,
    ),
    Shape(
        name="incident-cost-spike",
        story="Demo: a job sends whole archives to the most expensive model",
        expected="page",
        knowable=65,
        within=15,
        traffic=(
            Traffic(per_minute=30, usd=0.01),
            Traffic(provider="anthropic", model="claude-opus-5", per_minute=30, usd=0.15, begin=60),
        ),
        minutes=100,
    ),
)

SHAPES: Final = (*QUIET, *OUTAGES)
