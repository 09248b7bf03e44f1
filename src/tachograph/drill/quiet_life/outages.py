"""Shapes of outages that users feel: each must page soon, and once."""

from __future__ import annotations

import math
from typing import Final

from tachograph.drill.quiet_life.quiet import SCRAPED_LESS
from tachograph.drill.quiet_life.shape import Fault, Level, Shape, Target, Traffic


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
        ignore=SCRAPED_LESS,
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
        ignore=SCRAPED_LESS,
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
        ignore=SCRAPED_LESS,
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
