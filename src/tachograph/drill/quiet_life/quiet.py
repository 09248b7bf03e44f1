"""Shapes of real operation in which no page may fire."""

from __future__ import annotations

from typing import Final

from tachograph.drill.quiet_life.shape import SOONER, Fault, Level, Shape, Target, Traffic

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
_TEAM: Final = (("budget", "team"), ("period", "month"))


def away(minutes: float) -> tuple[Level, ...]:
    """A ledger's levels while its database is away from minute 20 on: records wait, then are written."""
    after = 20 + minutes
    waiting = ((0.0, 2.0), (20.0, 2.0), (after, 2.0))
    return (
        Level(name="llm_usage_records_accepted_total", values=((0.0, 0.0),), slopes=((0.0, 60.0),)),
        Level(
            name="llm_usage_persist_seconds_count",
            labels=(("outcome", "success"),),
            values=((0.0, 0.0), (20.0, 1200.0), (after, after * 60)),
            slopes=((0.0, 60.0), (20.0, 0.0), (after, 60.0)),
        ),
        Level(
            name="llm_usage_persist_errors_total",
            labels=(("error_type", "db_error"),),
            values=((0.0, 0.0), (20.0, 0.0), (after, minutes * 4)),
            slopes=((0.0, 0.0), (20.0, 4.0), (after, 0.0)),
        ),
        Level(name="llm_usage_persist_queue_size", values=waiting, slopes=((0.0, 0.0), (20.0, 60.0), (after, 0.0))),
        Level(name="llm_usage_persist_oldest_age_seconds", values=waiting, slopes=((20.0, 60.0), (after, 0.0))),
        Level(name="llm_usage_writer_alive", values=((0.0, 1.0),)),
    )


def _gap(seconds: int) -> Shape:
    return Shape(
        name=f"scrape-gap-{seconds}s",
        story=f"Scrapes fail for {seconds} s; counters hold errors of long ago",
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


QUIET: Final = (
    *(_gap(seconds) for seconds in (60, 90, 180, 300, 420)),
    Shape(
        name="prometheus-away-10m",
        story="Prometheus itself is down for ten minutes; an old 401 in the counters",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(unseen=((60, 70),)),),
    ),
    Shape(
        name="target-renamed",
        story="A replica appears under a new name, with an old 401 in its counters",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(), Target(instance="pod-b:9464", unseen=((0, 40),))),
        minutes=80,
    ),
    Shape(
        name="restart-kept-counters",
        story="A restart of two minutes with kept multiprocess files: counters go on, an old 401 among them",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(unreachable=((60, 62),)),),
    ),
    Shape(
        name="restart-fresh-counters",
        story="A restart of two minutes; counters begin at zero",
        traffic=(Traffic(per_minute=60),),
        targets=(Target(unreachable=((60, 62),), restarts=(62,)),),
    ),
    Shape(
        name="rolling-restart",
        story="Three hosts reboot one after the other, three minutes each",
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
        traffic=(Traffic(every=3, errors=0, faults=(Fault(begin=62.9, end=63.1, attempts=5),)),),
    ),
    Shape(
        name="two-of-twenty",
        story="Two calls of twenty an hour fail for good, twelve minutes apart",
        traffic=(Traffic(every=3, errors=0, faults=(Fault(begin=62.9, end=63.1), Fault(begin=74.9, end=75.1))),),
    ),
    Shape(
        name="second-call-of-a-new-model-fails",
        story="A model is new, is asked every ten minutes, and its second call fails",
        traffic=(
            Traffic(every=10, begin=30, errors=0, faults=(Fault(begin=39.9, end=40.1),)),
            Traffic(provider="anthropic", model="claude-sonnet-5", per_minute=10),
        ),
        minutes=90,
    ),
    Shape(
        name="one-failed-call-and-a-gap",
        story="A quiet service meets one failed call, and cannot be scraped in the minutes after it",
        traffic=(Traffic(every=12, errors=0, faults=(Fault(begin=59.9, end=60.1),)),),
        targets=(Target(unreachable=((61.5, 67),)),),
        minutes=100,
    ),
    Shape(
        name="customers-bad-key",
        story="One call in 200 uses a customer's own rejected key, all day",
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=0, share=0.005, error_type="auth"),)),),
        minutes=180,
    ),
    Shape(
        name="invalid-prompts",
        story="Five per cent of the calls are refused as invalid: prompts that are too long",
        may=("ticket",),
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=30, share=0.05, error_type="invalid_request"),)),),
    ),
    Shape(
        name="filtered-content",
        story="Four per cent of the answers are stopped by the content filter",
        may=("ticket",),
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=30, share=0.04, error_type="content_filter"),)),),
    ),
    Shape(
        name="blip-45s",
        story="Every call fails for 45 seconds, then all is well",
        may=("ticket",),
        traffic=(Traffic(per_minute=60, faults=(Fault(begin=60, end=60.75),)),),
        minutes=90,
    ),
    Shape(
        name="errors-one-per-cent",
        story="One call in a hundred fails, as the objective allows",
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
        traffic=(Traffic(per_minute=60),),
        levels=(Level(name="tachograph_unwatched_client", labels=(("library", "cohere"),), values=((0, 0), (60, 1))),),
    ),
    Shape(
        name="usage-contradicts",
        story="A provider changes its usage report: one answer in five contradicts itself",
        expected="ticket",
        traffic=(Traffic(per_minute=60),),
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
        traffic=(Traffic(per_minute=20, hours=(8, 18), usd=0.05),),
        minutes=2880,
        step=60,
        **SOONER,
    ),
    Shape(
        name="nightly-batch",
        story="A batch of 400 calls each night, and hardly anything else",
        traffic=(Traffic(per_minute=40, hours=(2, 2.17), usd=0.02), Traffic(per_minute=0.05, errors=0)),
        minutes=2880,
        step=60,
        **SOONER,
    ),
    Shape(
        name="first-hours",
        story="A new installation: traffic begins, with a few errors",
        traffic=(Traffic(per_minute=30, begin=10, errors=0.01),),
        minutes=240,
        evaluate=60,
    ),
    Shape(
        name="new-expensive-model",
        story="A model that costs five times as much takes over part of the traffic",
        traffic=(Traffic(per_minute=18, usd=0.004), Traffic(model="gpt-5-pro", per_minute=18, usd=0.02, begin=420)),
        minutes=600,
        **SOONER,
        step=30,
    ),
    Shape(
        name="slow-reasoning-model",
        story="Answers of a reasoning model take five minutes, a few at a time",
        may=("ticket",),
        traffic=(Traffic(model="o3-deep-research", every=7, seconds=300, errors=0),),
    ),
    Shape(
        name="idle-half-an-hour",
        story="Nothing fails, and the service is idle for half an hour",
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
        **SOONER,
        step=30,
    ),
    Shape(
        name="gap-and-restart",
        story="Scrapes fail for three minutes, and within them the process restarts; an old 401 before it",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(unreachable=((60, 63),), restarts=(61.5,)),),
        minutes=95,
    ),
    Shape(
        name="one-pod-crash-loops",
        story="One pod of three is killed every three minutes and is away for one",
        may=("ticket",),
        traffic=(Traffic(per_minute=20),),
        targets=(
            *_THREE[:2],
            Target(
                instance="app-3:9464",
                unreachable=tuple((30.0 + 3 * n, 31.0 + 3 * n) for n in range(15)),
                restarts=tuple(31.0 + 3 * n for n in range(15)),
            ),
        ),
        minutes=90,
    ),
    Shape(
        name="pods-come-and-go",
        story="An autoscaler starts a pod every five minutes, and each lives for twenty",
        traffic=(Traffic(per_minute=15),),
        targets=(Target(), *(Target(instance=f"pod-{n}:9464", start=5.0 * n, end=5.0 * n + 20) for n in range(1, 20))),
        minutes=110,
    ),
    Shape(
        name="upgrade-spells-buckets-otherwise",
        story="A new version spells its bucket bounds 30.0 instead of 30, and replaces pods one by one",
        traffic=(Traffic(per_minute=30, seconds=3),),
        targets=(
            *(Target(instance=f"old-{n}:9464", end=40.0 + 10 * n) for n in (1, 2, 3)),
            *(Target(instance=f"new-{n}:9464", start=40.0 + 10 * n, float_bounds=True) for n in (1, 2, 3)),
        ),
    ),
    Shape(
        name="canary-one-per-cent-fails",
        story="A canary takes one per cent of the calls, and all of them fail",
        may=("ticket",),
        traffic=(
            Traffic(per_minute=60, errors=0, instances=("app-1:9464",)),
            Traffic(per_minute=0.6, instances=("canary:9464",), faults=(Fault(begin=0),)),
        ),
        targets=(Target(instance="app-1:9464"), Target(instance="canary:9464", start=30)),
        minutes=150,
    ),
    Shape(
        name="storm-that-retries-cure",
        story="Four of five calls meet four 429s, wait, and succeed",
        expected="ticket",
        traffic=(
            Traffic(
                per_minute=30,
                faults=(Fault(begin=30, end=90, share=0.8, error_type="rate_limit", attempts=4, cured=True),),
            ),
        ),
    ),
    Shape(
        name="timeouts-that-retries-cure",
        story="A third of the calls time out once, and the retry succeeds",
        expected="ticket",
        may=("nothing",),
        traffic=(Traffic(per_minute=30, faults=(Fault(begin=30, share=0.33, error_type="timeout", cured=True),)),),
    ),
    Shape(
        name="blips-every-ten-minutes",
        story="Every call fails for 15 seconds, every ten minutes for three hours",
        may=("ticket",),
        traffic=(
            Traffic(per_minute=60, faults=tuple(Fault(begin=30.0 + 10 * n, end=30.25 + 10 * n) for n in range(18))),
        ),
        minutes=240,
    ),
    Shape(
        name="users-stop-answers",
        story="Two of five answers are stopped by the user who reads them",
        traffic=(Traffic(per_minute=30, faults=(Fault(begin=30, share=0.4, error_type="cancelled"),)),),
    ),
    Shape(
        name="hedged-requests",
        story="A second provider is asked beside each slow call, and nearly always cancelled when the first answers",
        traffic=(
            Traffic(per_minute=60),
            Traffic(
                provider="anthropic",
                model="claude-sonnet-5",
                per_minute=12,
                seconds=3,
                faults=(Fault(begin=0, share=0.95, error_type="cancelled", seconds=2.5),),
            ),
        ),
    ),
    Shape(
        name="completions-while-typing",
        story="A quiet editor asks at each pause in typing; the next letter cancels the call in nine of ten cases",
        traffic=(Traffic(per_minute=4, faults=(Fault(begin=0, share=0.9, error_type="cancelled", seconds=0.8),)),),
        minutes=240,
    ),
    Shape(
        name="readers-stop-in-a-quiet-chat",
        story="Half of the answers of a quiet chat are stopped by their readers, after as long as other answers take",
        traffic=(Traffic(per_minute=1, faults=(Fault(begin=30, share=0.5, error_type="cancelled", seconds=3),)),),
        minutes=480,
        step=30,
        **SOONER,
    ),
    Shape(
        name="slow-but-within-the-objective",
        story="Answers take 20 s instead of 2, for an hour",
        traffic=(Traffic(per_minute=30, faults=(Fault(begin=40, end=100, seconds=20),)),),
    ),
    Shape(
        name="streams-stall-50s",
        story="No stream goes on for 50 s, every quarter of an hour; then all of them end well",
        may=("ticket",),
        traffic=(
            Traffic(
                per_minute=30,
                faults=tuple(Fault(begin=30.0 + 15 * n, end=30.8 + 15 * n, hang=True, cured=True) for n in range(4)),
            ),
        ),
    ),
    Shape(
        name="provider-slow-not-failing",
        story="Every answer takes 45 s instead of 2, and none fails",
        expected="ticket",
        traffic=(Traffic(per_minute=30, faults=(Fault(begin=60, seconds=45),)),),
        minutes=180,
    ),
    Shape(
        name="campaign",
        story="Traffic is six times the usual within a minute, and stays there",
        traffic=(Traffic(per_minute=10, usd=0.01), Traffic(per_minute=50, usd=0.01, begin=60)),
        minutes=180,
    ),
    Shape(
        name="model-replaced",
        story="A deploy replaces one model by another",
        traffic=(Traffic(per_minute=30, end=60), Traffic(model="gpt-5.1", per_minute=30, begin=60)),
    ),
    Shape(
        name="provider-replaced",
        story="After a day, a router moves all traffic from one provider to another",
        may=("ticket",),
        traffic=(
            Traffic(per_minute=20, end=1500),
            Traffic(provider="anthropic", model="claude-sonnet-5", per_minute=20, begin=1500),
        ),
        minutes=1620,
        step=60,
        **SOONER,
    ),
    Shape(
        name="hourly-batch",
        story="Each hour 300 calls in five minutes, one in a hundred fails, and nothing between",
        traffic=tuple(Traffic(per_minute=60, errors=0.01, begin=60.0 * n + 10, end=60.0 * n + 15) for n in range(8)),
        minutes=490,
        step=30,
        **SOONER,
    ),
    Shape(
        name="mcp-server-restarts-hourly",
        story="An MCP server is restarted each hour: its connection is away for 30 s, and calls of that time fail",
        may=("ticket",),
        traffic=(
            Traffic(
                tool=("git", "log"),
                per_minute=6,
                seconds=0.3,
                errors=0,
                faults=tuple(Fault(begin=60.0 * n, end=60.0 * n + 0.5, error_type="connection") for n in (1, 2, 3)),
            ),
        ),
        levels=(
            Level(
                name="mcp_server_connections_active",
                labels=(("server_id", "git"),),
                values=((0, 1), *(pair for n in (1, 2, 3) for pair in ((60.0 * n, 0.0), (60.0 * n + 0.5, 1.0)))),
            ),
        ),
        minutes=230,
    ),
    Shape(
        name="one-tool-of-many-fails",
        story="One tool of a server fails in every call, the server's other tools are well",
        expected="ticket",
        traffic=(
            Traffic(tool=("shop", "search"), per_minute=20, seconds=0.3),
            Traffic(
                tool=("shop", "refund"), per_minute=0.5, seconds=0.3, faults=(Fault(begin=60, error_type="execution"),)
            ),
        ),
    ),
    Shape(
        name="budget-step-at-night",
        story="At three at night a budget passes 80 per cent",
        traffic=(Traffic(per_minute=10),),
        levels=(
            Level(name="llm_budget_limit_usd", labels=_TEAM, values=((0, 100),)),
            Level(name="llm_budget_spent_usd", labels=_TEAM, values=((0, 70),), slopes=((0, 0.06),)),
            Level(
                name="llm_budget_steps_total",
                labels=(("budget", "team"), ("step", "80")),
                values=((0, 0), (180, 1)),
            ),
        ),
        minutes=240,
        step=30,
        **SOONER,
    ),
    Shape(
        name="model-without-price",
        story="A new model is not in the price table",
        expected="ticket",
        traffic=(Traffic(per_minute=10), Traffic(model="ft:new", per_minute=5, usd=0, begin=30)),
        levels=(
            Level(
                name="llm_calls_unpriced_total",
                labels=(("provider", "openai"), ("model", "ft:new")),
                values=((30, 1),),
                slopes=((30, 5),),
            ),
        ),
        minutes=70,
    ),
    Shape(
        name="ledger-database-away-4m",
        story="The ledger's database is away for four minutes; the journal keeps every record",
        may=("ticket",),
        traffic=(Traffic(per_minute=60),),
        levels=away(4),
        minutes=60,
    ),
    Shape(
        name="pushes-lost-3m",
        story="Metrics are pushed every 60 s, and three pushes are lost; an old 401 in the counters",
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(unreachable=((60, 63),)),),
        step=60,
        push=True,
    ),
    Shape(
        name="pushes-lost-15m",
        story="The collector is away for a quarter of an hour",
        may=("ticket",),
        traffic=(_OLD_401, _OLD_TOOL),
        levels=_OLD_ERRORS,
        targets=(Target(unreachable=((60, 75),)),),
        step=60,
        push=True,
    ),
    Shape(
        name="pushed-with-a-clock-behind",
        story="The clock of one of two processes that push is two minutes behind",
        traffic=(Traffic(per_minute=30),),
        targets=(Target(), Target(instance="app-2", clock=-2)),
        step=60,
        push=True,
    ),
    Shape(
        name="pushed-deploys",
        story="Processes that push are replaced every 30 minutes",
        traffic=(Traffic(per_minute=40),),
        targets=tuple(Target(instance=f"pod-{n}", start=30 * n, end=30 * n + 31) for n in range(5)),
        minutes=150,
        step=60,
        push=True,
    ),
)
