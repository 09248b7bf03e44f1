"""An hour in which 100,000 model strings and as many tool names arrive: `python -m benchmarks.cardinality`.

The hour is simulated: names come as fast as the machine takes them, in sixty parts with a scrape after each. Prints how
memory and /metrics grow over the hour, and whether what was folded into `other` is counted to the last name. Exit code
1 if something is not bounded.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time

from benchmarks.overhead.worker import _resident

MINUTES = 60
GROWTH_MB = 10.0
"""How much the last fifty minutes may add: the limits are reached in the first."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cardinality", description=__doc__)
    parser.add_argument("--names", type=int, default=100_000, help="model strings, and tool names")
    asked = parser.parse_args()
    import tachograph
    from tachograph.signals.exposition import write

    each = max(1, asked.names // MINUTES)
    print("| minute | names so far | MB | /metrics lines | kB | scrape ms | folded |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        recorder = tachograph.configure(ledger={"data_dir": folder})
        memory, lines, name, folded = [], [], 0, 0.0
        for minute in range(1, MINUTES + 1):
            for _ in range(each):
                name += 1
                _ask(recorder, name)
            began = time.process_time()
            text = write(recorder.metrics.collect())
            took = (time.process_time() - began) * 1e3
            gc.collect()
            memory.append(_resident() / 1e6)
            lines.append(text.count("\n"))
            folded = _folded(recorder)
            if minute in (1, 2, 5, 10) or minute % 10 == 0:
                print(
                    f"| {minute} | {name:,} | {memory[-1]:.1f} | {lines[-1]:,} | {len(text) / 1e3:,.0f} | {took:.1f} "
                    f"| {folded:,.0f} |",
                    flush=True,
                )
        limit = recorder.metrics.limit
        is_stored = recorder.ledger is not None and recorder.ledger.flush(120)  # type: ignore[attr-defined]
    expected = 2 * (name - limit)
    grew, longer = memory[-1] - memory[9], lines[-1] - lines[9]
    print(f"\n- memory grew by {grew:.1f} MB and /metrics by {longer} lines in the last 50 minutes")
    print(f"- {folded:,.0f} values folded into `other`, {expected:,} expected at least (limit {limit} for a label)")
    print(f"- the ledger {'has' if is_stored else 'does not have'} every row, under its real name")
    passed = grew <= GROWTH_MB and longer <= 0 and folded >= expected and is_stored
    print("\nPASSED" if passed else "\nFAILED")
    return 0 if passed else 1


def _ask(recorder: object, name: int) -> None:
    from tachograph.records import Usage

    call = recorder.start_llm_call("openai", f"model-{name}")  # type: ignore[attr-defined]
    call.begin_attempt().end("success")
    call.usage = Usage(10, 2, {"cache_read": 5})
    call.finish("success")
    recorder.start_tool_call("server", f"tool-{name}").finish("error", "execution")  # type: ignore[attr-defined]


def _folded(recorder: object) -> float:
    for family, samples in recorder.metrics.collect():  # type: ignore[attr-defined]
        if family.name == "tachograph_label_overflow_total":
            return float(sum(sample.value for sample in samples))
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
