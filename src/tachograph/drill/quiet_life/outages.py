"""Shapes of outages that users feel: each must page soon, and once."""

from __future__ import annotations

import math
from typing import Final

from tachograph.drill.quiet_life.quiet import away
from tachograph.drill.quiet_life.shape import SOONER, Fault, Level, Shape, Target, Traffic

_DEAD: Final = Traffic(per_minute=30, faults=(Fault(begin=60, end=100),))


def _outage(
    name: str,
    per_minute: float,
    knowable: float,
    *,
    story: str = "",
    error_type: str = "server_error",
    seconds: float | None = None,
) -> Shape:
    return Shape(
        name=name,
        story=story or f"Every call fails for 40 minutes, {per_minute:g} calls a minute",
        expected="page",
        knowable=60 + knowable,
        traffic=(
            Traffic(per_minute=per_minute, faults=(Fault(begin=60, end=100, error_type=error_type, seconds=seconds),)),
        ),
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
        **SOONER,
        step=30,
    )


def _wasted(cause: str) -> Level:
    """From minute 60 on six dollars an hour are wasted: two fifths of what the calls cost."""
    return Level(
        name="llm_waste_usd_total",
        labels=(("provider", "anthropic"), ("model", "claude-opus-4-7"), ("cause", cause)),
        values=((0, 0), (60, 0)),
        slopes=((60, 0.1),),
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
        traffic=(Traffic(per_minute=54), Traffic(model="gpt-5-mini", per_minute=6, faults=(Fault(begin=60),))),
    ),
    Shape(
        name="second-application",
        story="A small application is dead while a big one with the same model thrives",
        expected="page",
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
        **SOONER,
        step=30,
    ),
    Shape(
        name="tool-server-outage",
        story="Every call of an MCP server's tools fails",
        expected="page",
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
        **SOONER,
        step=60,
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
    Shape(
        name="outage-through-a-gap",
        story="Scrapes fail for four minutes while every call fails",
        expected="page",
        traffic=(_DEAD,),
        targets=(Target(unreachable=((70, 74),)),),
        minutes=125,
    ),
    Shape(
        name="outage-through-a-deploy",
        story="A deploy sets the counters to zero while every call fails",
        expected="page",
        traffic=(_DEAD,),
        targets=(Target(unreachable=((75, 76),), restarts=(76,)),),
        minutes=125,
    ),
    Shape(
        name="outage-through-new-pods",
        story="Pods get new names while every call fails",
        expected="page",
        traffic=(_DEAD,),
        targets=(Target(instance="pod-a:9464", end=80), Target(instance="pod-b:9464", start=80)),
        minutes=125,
    ),
    Shape(
        name="prometheus-away-in-an-outage",
        story="Prometheus is away for five minutes while every call fails",
        expected="page",
        traffic=(_DEAD,),
        targets=(Target(unseen=((75, 80),)),),
        minutes=125,
    ),
    Shape(
        name="outage-scraped-every-60s",
        story="Every call fails, in a service that is scraped once a minute",
        expected="page",
        traffic=(_DEAD,),
        step=60,
        minutes=125,
        ignore=SOONER["ignore"],
    ),
    Shape(
        name="one-region-dead",
        story="One of two regions, distinguished by the label region, reaches no provider",
        expected="page",
        identity=("region", "job"),
        traffic=(
            Traffic(per_minute=200, instances=("eu:9464",)),
            Traffic(per_minute=12, instances=("us:9464",), faults=(Fault(begin=60, end=100, error_type="connection"),)),
        ),
        targets=(
            Target(instance="eu:9464", labels=(("region", "eu"),)),
            Target(instance="us:9464", labels=(("region", "us"),)),
        ),
        minutes=125,
    ),
    Shape(
        name="one-region-dead-unlabelled",
        story="The same with equal traffic, and rules that do not tell regions apart",
        expected="page",
        knowable=63,
        traffic=(
            Traffic(per_minute=20, instances=("eu:9464",)),
            Traffic(per_minute=20, instances=("us:9464",), faults=(Fault(begin=60, end=100, error_type="connection"),)),
        ),
        targets=(Target(instance="eu:9464"), Target(instance="us:9464")),
        minutes=125,
    ),
    Shape(
        name="one-model-of-200",
        story="One model of 200 is dead",
        expected="page",
        knowable=33,
        traffic=(
            *(Traffic(model=f"model-{n}", per_minute=1, errors=0) for n in range(199)),
            Traffic(model="model-dead", per_minute=3, errors=0, faults=(Fault(begin=30),)),
        ),
        minutes=42,
        step=30,
        **SOONER,
    ),
    Shape(
        name="daily-batch-fails",
        story="A batch each night at two; on the second night every call of it fails",
        expected="page",
        knowable=1561,
        traffic=(Traffic(per_minute=40, hours=(2, 2.25), usd=0.02, faults=(Fault(begin=1440),)),),
        minutes=1620,
        step=60,
        **SOONER,
    ),
    Shape(
        name="first-calls-of-the-morning-fail",
        story="A service of office hours: the key expired over night, and the first calls at eight are refused",
        expected="page",
        knowable=1923,
        traffic=(Traffic(per_minute=2, hours=(8, 18), errors=0, faults=(Fault(begin=1800, error_type="auth"),)),),
        minutes=1960,
        step=60,
        **SOONER,
    ),
    Shape(
        name="quota-spent-at-months-end",
        story="The month's quota is spent at 22:00 in quiet traffic, and is there again at midnight",
        expected="page",
        knowable=1330,
        traffic=(Traffic(every=5, errors=0, faults=(Fault(begin=1319, end=1440, error_type="quota"),)),),
        minutes=1500,
        step=30,
        **SOONER,
    ),
    Shape(
        name="old-key-on-one-replica",
        story="The key is rotated, and one of three replicas still has the old one",
        expected="page",
        knowable=63,
        traffic=(Traffic(per_minute=10, faults=(Fault(begin=60, end=100, error_type="auth", instance="app-3:9464"),)),),
        targets=tuple(Target(instance=f"app-{n}:9464") for n in (1, 2, 3)),
        minutes=125,
    ),
    Shape(
        name="staging-down-then-production",
        story="Staging, of the same job in another namespace, is down; half an hour later production goes down",
        expected="page",
        knowable=91,
        pages=2,
        identity=("namespace", "job"),
        traffic=(
            Traffic(per_minute=12, instances=("stage:9464",), faults=(Fault(begin=60, end=120),)),
            Traffic(per_minute=60, instances=("prod:9464",), faults=(Fault(begin=90, end=120),)),
        ),
        targets=(
            Target(instance="stage:9464", labels=(("namespace", "staging"),)),
            Target(instance="prod:9464", labels=(("namespace", "prod"),)),
        ),
        minutes=145,
    ),
    Shape(
        name="two-providers-unreachable",
        story="The application's own network is gone: no provider can be reached",
        expected="page",
        pages=2,
        traffic=tuple(
            Traffic(provider=p, model=m, per_minute=20, faults=(Fault(begin=60, end=100, error_type="connection"),))
            for p, m in (("openai", "gpt-5"), ("anthropic", "claude-sonnet-5"))
        ),
        minutes=125,
    ),
    Shape(
        name="flapping-provider",
        story="Every call fails in one minute of every three, for an hour; the third such minute shows it",
        expected="page",
        knowable=67,
        traffic=(Traffic(per_minute=60, faults=tuple(Fault(begin=60.0 + 3 * n, end=61.0 + 3 * n) for n in range(20))),),
        minutes=150,
    ),
    Shape(
        name="new-model-is-misspelled",
        story="A deploy asks for a model that does not exist, beside one that does",
        expected="page",
        knowable=62,
        traffic=(
            Traffic(per_minute=40),
            Traffic(model="gtp-5", per_minute=4, begin=60, faults=(Fault(begin=60, error_type="invalid_request"),)),
        ),
        minutes=100,
    ),
    Shape(
        name="every-answer-filtered",
        story="A new content filter stops every answer of one model",
        expected="page",
        traffic=(Traffic(per_minute=20, faults=(Fault(begin=60, end=100, error_type="content_filter"),)),),
        minutes=125,
    ),
    _outage(
        "given-up-after-30s",
        30,
        2,
        story="The provider hangs, and the application cancels each call after 30 s",
        error_type="cancelled",
        seconds=30,
    ),
    _outage("given-up-quiet", 2, 4, story="The same with two calls a minute", error_type="cancelled", seconds=30),
    Shape(
        name="given-up-sparse",
        story="The same with one call every ten minutes, for three hours",
        expected="page",
        knowable=141,
        traffic=(Traffic(every=10, errors=0, faults=(Fault(begin=119, end=300, error_type="cancelled", seconds=30),)),),
        minutes=340,
        step=30,
        **SOONER,
    ),
    Shape(
        name="tool-server-given-up",
        story="Every call of an MCP server's tools hangs, and the application cancels it after 20 s",
        expected="page",
        traffic=(
            Traffic(
                tool=("search", "query"),
                per_minute=12,
                seconds=0.2,
                faults=(Fault(begin=60, end=90, error_type="cancelled", seconds=20),),
            ),
        ),
        minutes=115,
    ),
    Shape(
        name="one-model-hangs",
        story="One model never answers, the provider's other models do",
        expected="page",
        within=2,
        traffic=(
            Traffic(model="gpt-5-mini", per_minute=60),
            Traffic(per_minute=20, faults=(Fault(begin=60, end=69, hang=True),)),
        ),
        minutes=90,
    ),
    Shape(
        name="tool-server-times-out",
        story="Every call of an MCP server's tools times out",
        expected="page",
        traffic=(
            Traffic(
                tool=("search", "query"),
                per_minute=12,
                seconds=0.2,
                faults=(Fault(begin=60, end=90, error_type="timeout"),),
            ),
        ),
        minutes=115,
    ),
    Shape(
        name="pushed-outage",
        story="Every call fails; metrics are pushed every 60 s",
        expected="page",
        traffic=(_DEAD,),
        minutes=125,
        step=60,
        push=True,
    ),
    Shape(
        name="pushed-outage-and-a-gap",
        story="The same in a quieter service, with three pushes lost in the middle",
        expected="page",
        knowable=62,
        traffic=(Traffic(per_minute=6, faults=(Fault(begin=60, end=100),)),),
        targets=(Target(unreachable=((75, 78),)),),
        minutes=130,
        step=60,
        push=True,
    ),
    Shape(
        name="pushed-key-revoked",
        story="The provider rejects our key; metrics are pushed every 60 s, one of two clocks is two minutes behind",
        expected="page",
        traffic=(Traffic(per_minute=20, faults=(Fault(begin=60, end=100, error_type="auth"),)),),
        targets=(Target(), Target(instance="app-2", clock=-2)),
        minutes=125,
        step=60,
        push=True,
    ),
    Shape(
        name="ledger-database-away-1h",
        story="The ledger's database is away for an hour: nothing is lost, and budgets do not see what is spent",
        expected="page",
        knowable=25,
        traffic=(Traffic(per_minute=60),),
        levels=away(60),
        minutes=120,
    ),
    # every incident of the demo
    Shape(
        name="incident-provider-outage",
        story="Demo: Anthropic answers every request with 529",
        expected="page",
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
    Shape(
        name="incident-broken-streams",
        story="Demo: Anthropic breaks off the streams of reports after a few words, and bills what it has read",
        expected="page",
        traffic=(
            Traffic(
                provider="anthropic",
                model="claude-opus-4-7",
                per_minute=17,
                usd=0.016,
                faults=(Fault(begin=60, share=0.7),),
            ),
        ),
        levels=(_wasted("failed"),),
        minutes=100,
    ),
    *(
        Shape(
            name=f"incident-{name}",
            story=f"Demo: {story}",
            expected="ticket",
            traffic=(Traffic(provider="anthropic", model="claude-opus-4-7", per_minute=17, usd=0.016),),
            levels=(_wasted(cause),),
            minutes=130,
        )
        for name, cause, story in (
            ("hang-ups", "aborted", "streams of reports stop after a few words, and their readers close the page"),
            ("repeated-questions", "retried", "a front end asks everything again once it has been answered"),
            ("lost-cache", "cache_miss", "the providers find nothing again that they had cached"),
            ("agent-loop", "loop", "agents ask for the same stock level until their steps are used up"),
        )
    ),
)
