"""What the examples print at their end: the calls that were recorded, and a few numbers of /metrics."""

from __future__ import annotations

import tachograph
from tachograph.records import LLMCall, ToolCall

RECORDS: list[LLMCall | ToolCall] = []


def keep() -> None:
    """Keep every finished record of this process, for showing."""
    tachograph.get_recorder().add_listener(RECORDS.append)


def show() -> None:
    """Print one line for each record."""
    tachograph.get_recorder().settle()  # the last ones are delivered a second later
    for record in RECORDS:
        if isinstance(record, ToolCall):
            print(f"  {record.side} tool {record.server_id}/{record.tool_name}: {record.outcome}")
            continue
        usage = record.usage
        tokens = "no usage" if usage is None else f"{usage.input_tokens} + {usage.output_tokens or 0} tokens"
        cost = "" if record.cost is None or record.cost.usd is None else f", ${record.cost.usd:.6f}"
        labels = "" if not record.labels else f", {dict(record.labels)}"
        print(f"  {record.provider}/{record.model} {record.operation}: {record.outcome}, {tokens}{cost}{labels}")
