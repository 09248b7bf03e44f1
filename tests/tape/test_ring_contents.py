"""Every fact that a slot of the ring holds is read back as it was by the next process."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tachograph.records import Attempt, Cost, LLMCall, Run, ToolCall, Usage
from tachograph.records.outcomes import ERROR_KINDS, ERROR_TYPES, OUTCOMES, TOOL_OUTCOMES
from tachograph.tape.ring import Ring, dead, measure_dead, read
from tachograph.testing import Recording, recording

DRAWS = 150


def some_call(draw: random.Random, seen: Recording, number: int) -> LLMCall | ToolCall:
    """A finished record whose facts are all drawn."""
    labels = draw.choice((None, {"team": "a"}, {"team": "b" * draw.randrange(400)}))
    made: LLMCall | ToolCall
    if draw.random() < 0.6:
        call = seen.recorder.start_llm_call(f"provider-{number % 3}", f"model-{number % 5}", labels=labels)
        made = call
        call.api = draw.choice((None, "responses"))
        call.stream = draw.random() < 0.5
        call.counts_usage = draw.random() < 0.8
        call.first_token_ns = draw.choice((0, call.started_ns + draw.randrange(1, 10**9)))
        call.unsent_wait_ns = draw.choice((0, draw.randrange(10**9)))
        call.outcome, call.error_type = draw.choice(OUTCOMES), draw.choice((None, *ERROR_TYPES))
        call.usage = draw.choice((None, Usage(None, 5), Usage(7, None), Usage(0, 0), Usage(10**12, draw.randrange(99))))
        call.cost = draw.choice(
            (None, Cost(None, "unpriced"), Cost(0, "priced"), Cost(draw.randrange(10**12), "priced"))
        )
        call.attempts = [Attempt(n + 1, 0, 1, None, "success", None) for n in range(draw.randrange(1, 5))]
    else:
        tool = seen.recorder.start_tool_call(f"server-{number % 3}", f"tool-{number % 4}", labels=labels)
        made = tool
        tool.call_id = draw.choice((None, "toolu_1"))
        tool.outcome, tool.error_kind = draw.choice(TOOL_OUTCOMES), draw.choice((None, *ERROR_KINDS))
    if draw.random() < 0.4:
        made.run = Run(f"run-{number}", "planner", "e", "s", draw.choice(("", "u")), "1.2", "p")
    made.ended_ns = made.started_ns + draw.randrange(10**10)
    made.trace_id, made.span_id = draw.choice(((0, 0), (draw.getrandbits(128), draw.getrandbits(64))))
    return made


def facts(record: LLMCall | ToolCall) -> dict[str, Any]:
    """What is kept of a record."""
    run = record.run
    found: dict[str, Any] = {
        "id": record.id, "started": record.started_unix_ns, "took": record.ended_ns - record.started_ns,
        "number": record.number, "labels": record.labels and dict(record.labels), "outcome": record.outcome,
        "trace": (record.trace_id, record.span_id),
        "run": run and structs.astuple(run),
    }  # fmt: skip
    if isinstance(record, ToolCall):
        return found | {"of": (record.server_id, record.tool_name, record.side, record.call_id, record.error_kind)}
    usage, cost = record.usage, record.cost
    return found | {
        "of": (record.provider, record.model, record.operation, record.api, record.stream, record.counts_usage),
        "error": record.error_type, "first": record.first_token_ns and record.first_token_ns - record.started_ns,
        "waited": record.unsent_wait_ns, "attempts": len(record.attempts),
        "usage": usage and (usage.input_tokens, usage.output_tokens),
        "cost": None if cost is None else cost.nano_usd,
    }  # fmt: skip


def test_every_fact_is_read_back_as_it_was(tmp_path: Path) -> None:
    draw, ring = random.Random(14), Ring(tmp_path)
    with recording() as seen:
        made = [some_call(draw, seen, number) for number in range(DRAWS)]
        assert all(ring.keep(record) for record in made)
        assert ring.path is not None
        found = read(ring.path.read_bytes(), seen.recorder)
        assert [facts(record) for record in found.records] == [
            facts(record) for record in sorted(made, key=lambda record: record.id)
        ]
        assert found.measured == set()
        assert {record.slot for record in found.records} == {record.slot for record in made}
        assert ring.slots_in_use == DRAWS
        ring.release([record.slot for record in made[: DRAWS // 2]])
        assert ring.slots_in_use == DRAWS - DRAWS // 2
        left = read(ring.path.read_bytes(), seen.recorder).records
        assert {record.id for record in left} == {record.id for record in made[DRAWS // 2 :]}


def test_calls_of_a_process_that_is_gone_are_added_to_the_metrics_once(tmp_path: Path) -> None:
    draw, ring = random.Random(15), Ring(tmp_path)
    with recording() as seen:
        made = [some_call(draw, seen, number) for number in range(20)]
        assert all(ring.keep(record) for record in made)
        assert ring.path is not None
        path = ring.path
        counted: list[bytes] = []
        measure_dead(tmp_path, lambda record: counted.append(record.id), seen.recorder)
        assert counted == []  # its process lives
        content = path.read_bytes()
        ring.after_fork_in_child()  # nothing holds its lock any more
        for _ in range(2):
            measure_dead(tmp_path, lambda record: counted.append(record.id), seen.recorder)
            assert counted == sorted(record.id for record in made)
        assert read(path.read_bytes(), seen.recorder).measured == set(counted)
        assert [facts(record) for record in read(path.read_bytes(), seen.recorder).records] == [
            facts(record) for record in read(content, seen.recorder).records
        ]
        (recovered,) = dead(tmp_path, seen.recorder, pytest.fail)
        assert recovered.measured == set(counted)
        assert not path.exists()
        assert os.listdir(tmp_path) == []
